import { defineConfig } from 'vitest/config';

/** Running room server that provides the signalling for `npm run dev`. */
const roomServer = 'https://localhost:4443';

export default defineConfig({
  server: {
    proxy: {
      // Only the WebSocket is proxied, because the page itself has the same path.
      '^/\\?roomId=': {
        target: roomServer,
        secure: false,
        ws: true,
        bypass: (request) => (request.headers.upgrade ? undefined : request.url),
      },
    },
  },
  build: {
    target: 'es2022',
    // Assets are never inlined, so that the page works under `Content-Security-Policy: default-src 'self'`.
    assetsInlineLimit: 0,
  },
  test: {
    include: ['src/**/*.test.ts'],
  },
});
