import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "baseline-widely-available",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // they know light-dark(); older ones would need every colour twice
    assetsInlineLimit: 0, // a data: address would break the content security policy
    modulePreload: { polyfill: false }, // so would an inline script
  },
  server: {
    // `npm run dev` beside a running `genescale up`
    proxy: { "/api": { target: process.env.GENESCALE_URL ?? "http://127.0.0.1:8080", ws: true } },
  },
});
