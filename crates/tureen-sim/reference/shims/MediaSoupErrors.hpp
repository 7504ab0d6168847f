// What libwebrtc's sources expect of mediasoup's exceptions: nothing catches them here.
#pragma once

#include "Logger.hpp"

#define MS_THROW_ERROR(...) MS_ABORT(__VA_ARGS__)
