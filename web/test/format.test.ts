import assert from "node:assert/strict";
import test from "node:test";
import { count, duration, rate, shortCount } from "../src/format.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const after = (seconds: number) => duration(new Date(START).toISOString(), new Date(START + seconds * 1000).toISOString());

test("a duration has two units at most", () => {
  assert.equal(after(0), "0 s");
  assert.equal(after(59.9), "59 s");
  assert.equal(after(60), "1 min");
  assert.equal(after(3599), "59 min");
  assert.equal(after(3600), "1 h 0 min");
  assert.equal(after(86_399), "23 h 59 min");
  assert.equal(after(86_400 * 4 + 7200), "4 d 2 h");
});

test("a moment that the server has not reached yet is no negative duration", () => {
  assert.equal(after(-5), "0 s");
});

test("large numbers stay readable and small rates keep one digit", () => {
  assert.equal(count(1_234_567), "1,234,567");
  assert.equal(shortCount(99_999), "99,999");
  assert.equal(shortCount(1_234_567), "1.2M");
  assert.equal(rate(0.25), "0.3");
  assert.equal(rate(12.4), "12");
});
