// What the gateway serves at GET /api/v1/platform. The one place that knows this shape.

export type RoleState = "starting" | "running" | "backing-off" | "stopped";

export interface Role {
  name: string;
  state: RoleState;
  pid: number | null;
  restarts: number;
  since: string;
}

export interface Topic {
  name: string;
  partitions: number;
  records: number;
  power_safe: boolean;
}

export interface Group {
  name: string;
  members: number;
  lag: number;
}

export interface Unavailable {
  panel: string;
  reason: string;
}

export interface Platform {
  version: string;
  started_at: string;
  now: string;
  log: { kind: "sqlite" | "kafka" | "memory"; place: string };
  roles: Role[];
  topics: Topic[];
  groups: Group[];
  unavailable: Unavailable[];
}

const ANSWER_WITHIN_MS = 5000;

/** Ask once. Rejects when the platform cannot be reached, does not answer in time, or answers something else. */
export async function fetchPlatform(): Promise<Platform> {
  const response = await fetch("/api/v1/platform", {
    headers: { accept: "application/json" },
    cache: "no-store",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  const answer = (await response.json()) as Platform;
  for (const list of [answer.roles, answer.topics, answer.groups, answer.unavailable]) {
    if (!Array.isArray(list)) throw new Error("the gateway speaks another version than this page");
  }
  return answer;
}
