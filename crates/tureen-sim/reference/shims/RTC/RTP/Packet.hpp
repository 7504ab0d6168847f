// Empty, because the parts of libwebrtc that use these packets are not compiled; only their headers include this file.
#pragma once
