// The live state behind the page: asks every two seconds, rests while nobody looks, and comes back by itself.

import { fetchPlatform, type Platform } from "./api";

const EVERY_MS = 2000;
const RETRY_MS_MAX = 15_000;
export const HISTORY_POINTS = 60;

export type Connection = "connecting" | "live" | "lost";

class Live {
  platform: Platform | undefined = $state.raw();
  connection: Connection = $state("connecting");
  /** Records appended per second between two answers, newest last; null where the count went down (retention). */
  rates: (number | null)[] = $state.raw([]);

  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;
  #failures = 0;

  /** Begin asking; returns how to stop. */
  start(): () => void {
    const look = () => (document.hidden ? this.#rest() : void this.#ask());
    document.addEventListener("visibilitychange", look);
    window.addEventListener("online", look);
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      window.removeEventListener("online", look);
      this.#rest();
    };
  }

  #rest(): void {
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    this.#rest();
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.#take(await fetchPlatform());
      this.#failures = 0;
      this.connection = "live";
    } catch {
      // Whatever the cause, the remedy is the same: say so, keep what is on the screen, ask again a little later.
      this.#failures += 1;
      this.connection = "lost";
    } finally {
      this.#asking = false;
    }
    if (!document.hidden) this.#timer = setTimeout(() => void this.#ask(), this.#pauseMs());
  }

  #pauseMs(): number {
    return Math.min(EVERY_MS * 2 ** Math.max(0, this.#failures - 3), RETRY_MS_MAX);
  }

  #take(next: Platform): void {
    const before = this.platform;
    if (before !== undefined && before.started_at === next.started_at) {
      const seconds = (Date.parse(next.now) - Date.parse(before.now)) / 1000;
      const appended = recordsOf(next) - recordsOf(before);
      if (seconds > 0) this.rates = [...this.rates, appended < 0 ? null : appended / seconds].slice(-HISTORY_POINTS);
    }
    this.platform = next;
  }
}

export function recordsOf(platform: Platform): number {
  return platform.topics.reduce((sum, topic) => sum + topic.records, 0);
}

export const live = new Live();
