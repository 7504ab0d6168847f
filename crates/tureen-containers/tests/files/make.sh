#!/bin/sh
# Makes the media files of the tests with FFmpeg: two seconds of 64×48 pixels, ten pictures a second, a key frame every
# second; a tone of two seconds. FFmpeg 5.1 with libvpx, libaom, x264, x265 and libopus made those that are committed.
set -eu
cd "$(dirname "$0")"
picture="-f lavfi -i testsrc=size=64x48:rate=10:duration=2"
tone="-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2"
make() { ffmpeg -nostdin -v error -y "$@"; }
flags="-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 -pix_fmt yuv420p -g 10"
vp8="-c:v libvpx -b:v 60k -auto-alt-ref 0 -lag-in-frames 0"
vp9="-c:v libvpx-vp9 -b:v 60k -auto-alt-ref 0 -lag-in-frames 0"
av1="-c:v libaom-av1 -cpu-used 8 -usage realtime -lag-in-frames 0 -b:v 60k -keyint_min 10"
h264="-c:v libx264 -profile:v baseline -bf 0 -x264-params keyint=10:min-keyint=10:scenecut=0:slices=2"
h265="-c:v libx265 -x265-params keyint=10:min-keyint=10:scenecut=0:bframes=0:log-level=error:info=0"
opus="-c:a libopus -b:a 16k"

make $picture $flags $vp8 vp8.ivf
make $picture $flags $vp9 vp9.ivf
make $picture $flags $av1 av1.ivf
make $tone $flags $opus opus.ogg
make $picture $flags $h264 h264.h264
make $picture $flags $h265 h265.h265
make $picture $tone $flags $vp8 $opus vp8-opus.webm
make $picture $tone $flags $vp9 $opus vp9-opus.webm
make $picture $flags $av1 av1.mkv
make $picture $tone $flags $h264 $opus h264-opus.mkv
make $picture $flags $h265 h265.mkv
make $picture $flags -c:v libx264 -bf 3 -x264-params keyint=20:scenecut=0:b-adapt=0 b-frames.mkv
make $picture $flags -c:v libx264 -bf 3 -x264-params keyint=20:scenecut=0:b-adapt=0 b-frames.mp4
make $picture $tone $flags $h264 $opus h264-opus.mp4
make $picture $tone $flags $h264 $opus -movflags frag_keyframe+empty_moov+default_base_moof h264-opus-fragmented.mp4
make $picture $flags $h265 -tag:v hvc1 h265.mp4
make $picture $flags $av1 av1.mp4
make $picture $flags $vp9 vp9.mp4
make $tone $flags -c:a aac aac.mp4
