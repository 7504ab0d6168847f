// Included by headers of libwebrtc, of which nothing that names these packets is compiled.
#pragma once
