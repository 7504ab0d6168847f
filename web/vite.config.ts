import { defineConfig } from 'vitest/config';

/** The running room server that `npm run dev` borrows signalling from. */
const roomServer = 'https://localhost:4443';

export default defineConfig({
  server: {
    proxy: {
      // Only the WebSocket: the page itself has the same path.
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
    // Every asset stays a file of its own, so that the page runs under
    // `Content-Security-Policy: default-src 'self'`.
    assetsInlineLimit: 0,
  },
  test: {
    include: ['src/**/*.test.ts'],
  },
});
