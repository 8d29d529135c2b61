// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function count(value: number): string {
  return whole.format(value);
}

export function shortCount(value: number): string {
  return value < 100_000 ? whole.format(value) : compact.format(value);
}

export function rate(value: number): string {
  return value < 10 ? small.format(value) : shortCount(value);
}

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", hour12: false });

export function dayAndTime(moment: string): string {
  return day.format(new Date(moment));
}

export function timeOfDay(moment: string): string {
  return clock.format(new Date(moment));
}

/** "8 s", "3 min", "5 h 12 min", "4 d 2 h": two units at most. */
export function duration(from: string, to: string): string {
  const seconds = Math.max(0, Math.floor((Date.parse(to) - Date.parse(from)) / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (minutes < 1) return `${seconds} s`;
  if (hours < 1) return `${minutes} min`;
  if (days < 1) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}
