// Replacement for mediasoup's logger in libwebrtc's sources: errors are written to stderr, the rest is discarded.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#define MS_ERROR(format, ...) std::fprintf(stderr, MS_CLASS ": " format "\n" __VA_OPT__(, ) __VA_ARGS__)
#define MS_ABORT(format, ...) (MS_ERROR(format __VA_OPT__(, ) __VA_ARGS__), std::abort())
#define MS_ASSERT(condition, format, ...) \
  do {                                    \
    if (!(condition)) {                   \
      MS_ABORT(format, __VA_ARGS__);      \
    }                                     \
  } while (false)
#define MS_WARN_TAG(...) ((void)0)
#define MS_WARN_DEV(...) ((void)0)
#define MS_DEBUG_TAG(...) ((void)0)
#define MS_DEBUG_DEV(...) ((void)0)
#define MS_DUMP(...) ((void)0)
