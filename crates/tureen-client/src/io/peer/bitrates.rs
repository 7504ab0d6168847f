//! Who of the outgoing streams gets how much of the estimate.

use tureen_rtc::units::Bitrate;
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

/// Most that audio takes if its encoding does not say.
const AUDIO_MAX: Bitrate = Bitrate::kbps(64);
/// Headers of audio packets, 50 a second.
const AUDIO_HEADERS: Bitrate = Bitrate::kbps(30);
/// Most that video, or the highest encoding of a simulcast, takes if its encoding does not say. The encodings below have
/// a quarter of the one above, as their pictures do.
const VIDEO_MAX: Bitrate = Bitrate::kbps(2500);
/// Share of video's bitrate that is left of headers, in percent: 75 of 1200 bytes.
const PAYLOAD_SHARE: u64 = 93;
/// An encoding of a simulcast above the lowest is worth sending from this share of its maximum on, in percent.
const WORTH_SENDING: u64 = 50;

/// An outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) kind: MediaKind,
    /// Which encoding of its producer it is.
    pub(super) encoding: usize,
    /// Most that it takes; zero for one that is not sent now.
    pub(super) max: Bitrate,
}

/// Most that each encoding takes.
pub(super) fn max_bitrates(kind: MediaKind, parameters: &RtpParameters) -> Vec<Bitrate> {
    let count = parameters.encodings.len();
    let default = |at: usize| match kind {
        MediaKind::Audio => AUDIO_MAX,
        MediaKind::Video => {
            let above = u32::try_from(count - 1 - at).unwrap_or(u32::MAX);
            Bitrate::bps(VIDEO_MAX.as_bps() / 4_u64.saturating_pow(above).max(1))
        }
    };
    let encodings = parameters.encodings.iter().enumerate();
    encodings.map(|(at, encoding)| encoding.max_bitrate.map_or_else(|| default(at), Bitrate::bps)).collect()
}

/// What all want together, headers included.
pub(super) fn desired(demands: &[Demand]) -> Bitrate {
    let total = demands.iter().map(|demand| match demand.kind {
        _ if demand.max.is_zero() => 0,
        MediaKind::Audio => demand.max.as_bps() + AUDIO_HEADERS.as_bps(),
        MediaKind::Video => demand.max.as_bps().saturating_mul(100) / PAYLOAD_SHARE,
    });
    Bitrate::bps(total.fold(0, u64::saturating_add))
}

/// Shares `target` among the demands. Audio gets what it wants, because it is little and needed most. What is left goes to
/// the lowest encodings of video, in equal parts, and then to those above them.
pub(super) fn share(target: Bitrate, demands: &[Demand]) -> Vec<Bitrate> {
    let is_audio = |demand: &Demand| demand.kind == MediaKind::Audio;
    let audio = demands.iter().filter(|demand| is_audio(demand) && !demand.max.is_zero());
    let audio: u64 = audio.map(|demand| demand.max.as_bps() + AUDIO_HEADERS.as_bps()).sum();
    let mut left = target.as_bps().saturating_sub(audio) / 100 * PAYLOAD_SHARE;
    let mut shares: Vec<u64> =
        demands.iter().map(|demand| if is_audio(demand) { demand.max.as_bps() } else { 0 }).collect();
    let levels = demands.iter().map(|demand| demand.encoding + 1).max().unwrap_or(0);
    for level in 0..levels {
        let mut at_level: Vec<usize> = (0..demands.len())
            .filter(|&at| {
                !is_audio(&demands[at]) && demands[at].encoding == level && !demands[at].max.is_zero()
            })
            .collect();
        // Those who want least first, so that what they leave is shared by the others.
        at_level.sort_by_key(|&at| demands[at].max.as_bps());
        for (done, &at) in at_level.iter().enumerate() {
            let max = demands[at].max.as_bps();
            let given = (left / (at_level.len() - done) as u64).min(max);
            if level == 0 || given >= max / 100 * WORTH_SENDING {
                shares[at] = given;
                left -= given;
            }
        }
    }
    shares.into_iter().map(Bitrate::bps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(encoding: usize, kbps: u64) -> Demand {
        Demand { kind: MediaKind::Video, encoding, max: Bitrate::kbps(kbps) }
    }

    fn kbps(target: u64, demands: &[Demand]) -> Vec<u64> {
        share(Bitrate::kbps(target), demands).iter().map(|rate| rate.as_bps() / 1000).collect()
    }

    #[test]
    fn audio_comes_first_and_video_gets_the_rest_without_headers() {
        let audio = Demand { kind: MediaKind::Audio, encoding: 0, max: Bitrate::kbps(32) };
        assert_eq!(kbps(562, &[audio, video(0, 2000)]), [32, 465]);
        assert_eq!(kbps(20, &[audio, video(0, 2000)]), [32, 0]);
    }

    #[test]
    fn encodings_are_filled_from_below_and_need_half_of_what_they_want() {
        let simulcast = [video(0, 150), video(1, 600), video(2, 2500)];
        assert_eq!(kbps(100, &simulcast), [93, 0, 0]);
        assert_eq!(kbps(300, &simulcast), [150, 0, 0]);
        assert_eq!(kbps(700, &simulcast), [150, 501, 0]);
        assert_eq!(kbps(5000, &simulcast), [150, 600, 2500]);
    }

    #[test]
    fn producers_share_equally_up_to_what_they_want() {
        assert_eq!(kbps(2000, &[video(0, 3000), video(0, 300)]), [1560, 300]);
        assert_eq!(kbps(1000, &[video(0, 3000), video(0, 0)]), [930, 0], "a paused one gets nothing");
    }

    #[test]
    fn encodings_without_a_maximum_have_a_quarter_of_the_one_above() {
        let mut parameters = RtpParameters::default();
        parameters.encodings.resize_with(3, Default::default);
        parameters.encodings[1].max_bitrate = Some(5);
        let rates: Vec<_> =
            max_bitrates(MediaKind::Video, &parameters).iter().map(|rate| rate.as_bps()).collect();
        assert_eq!(rates, [156_250, 5, 2_500_000]);
    }
}
