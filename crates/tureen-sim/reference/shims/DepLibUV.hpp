// Clock of libwebrtc's sources. It has the simulation's time, which main.cc sets before each call.
#pragma once

#include <cstdint>

struct DepLibUV {
  static inline int64_t now_us = 0;

  static int64_t GetTimeUs() { return now_us; }
  static int64_t GetTimeMs() { return now_us / 1000; }
};
