// Replacement for mediasoup's exceptions in libwebrtc's sources. Nothing catches them here.
#pragma once

#include "Logger.hpp"

#define MS_THROW_ERROR(...) MS_ABORT(__VA_ARGS__)
