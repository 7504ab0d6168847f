//! Sources of media, as LiveKit names them in `canPublishSources`.

use serde_json::Value;
use tureen::prelude::MediaKind;

use crate::opaque::Opaque;

/// Source of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Camera,
    Microphone,
    ScreenShare,
    ScreenShareAudio,
    /// Its client calls it something else.
    Unknown,
}

impl Source {
    const ALL: [Self; 5] =
        [Self::Camera, Self::Microphone, Self::ScreenShare, Self::ScreenShareAudio, Self::Unknown];

    /// LiveKit's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::ScreenShare => "screen_share",
            Self::ScreenShareAudio => "screen_share_audio",
            Self::Unknown => "unknown",
        }
    }

    /// Source of a producer by what its client says in `appData`: `source`, or mediasoup-demo's `share`. A client that says
    /// nothing sends a camera or a microphone. The kind of the media counts more than what is said, because only the kind
    /// is certain.
    pub(crate) fn of(kind: MediaKind, app_data: &Opaque) -> Self {
        let members = app_data.members();
        let shares = match members.get("share") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(_) => true,
        };
        let said = members.get("source").and_then(Value::as_str);
        let is_screen = match said {
            _ if shares => true,
            None | Some("mic" | "microphone" | "audio" | "camera" | "cam" | "webcam" | "video") => false,
            Some(
                "screen" | "screen_share" | "screen_share_audio" | "screenshare" | "screensharing" | "share"
                | "display",
            ) => true,
            Some(_) => return Self::Unknown,
        };
        match (kind, is_screen) {
            (MediaKind::Video, false) => Self::Camera,
            (MediaKind::Video, true) => Self::ScreenShare,
            (MediaKind::Audio, false) => Self::Microphone,
            (MediaKind::Audio, true) => Self::ScreenShareAudio,
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources(u8);

impl Sources {
    pub(crate) const ALL: Self = Self(u8::MAX);

    pub(crate) const NONE: Self = Self(0);

    /// Names of the sources; `None` for all.
    pub(crate) fn names(self) -> Option<Vec<&'static str>> {
        let named =
            || Source::ALL.into_iter().filter(|source| *source != Source::Unknown && self.has(*source));
        (self != Self::ALL).then(|| named().map(Source::name).collect())
    }

    /// The sources of these names, in either case; other names are none. No names are all sources, as in LiveKit.
    pub(crate) fn named(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::ALL;
        }
        let named = Source::ALL.into_iter().filter(|source| {
            *source != Source::Unknown && names.iter().any(|name| name.eq_ignore_ascii_case(source.name()))
        });
        Self(named.fold(0, |all, source| all | source.bit()))
    }

    pub(crate) fn has(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }
}

/// Sources that a moderator has muted, by kind of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Muted {
    audio: Sources,
    video: Sources,
}

impl Default for Muted {
    fn default() -> Self {
        Self { audio: Sources::NONE, video: Sources::NONE }
    }
}

impl Muted {
    pub(crate) fn has(self, kind: MediaKind, source: Source) -> bool {
        match kind {
            MediaKind::Audio => self.audio.has(source),
            MediaKind::Video => self.video.has(source),
        }
    }

    pub(crate) fn add(&mut self, kind: MediaKind, sources: Sources) {
        let of_kind = self.of(kind);
        of_kind.0 |= sources.0;
    }

    pub(crate) fn remove(&mut self, kind: MediaKind, sources: Sources) {
        let of_kind = self.of(kind);
        of_kind.0 &= !sources.0;
    }

    fn of(&mut self, kind: MediaKind) -> &mut Sources {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_the_client_says_within_its_kind() {
        for (kind, app_data, source) in [
            (MediaKind::Video, "{}", Source::Camera),
            (MediaKind::Audio, "{}", Source::Microphone),
            (MediaKind::Audio, r#"{"source":"mic"}"#, Source::Microphone),
            (MediaKind::Video, r#"{"source":"camera"}"#, Source::Camera),
            (MediaKind::Video, r#"{"share":true}"#, Source::ScreenShare),
            (MediaKind::Video, r#"{"source":"screen_share"}"#, Source::ScreenShare),
            (MediaKind::Audio, r#"{"source":"screen_share"}"#, Source::ScreenShareAudio),
            (MediaKind::Video, r#"{"source":"microphone"}"#, Source::Camera),
            (MediaKind::Video, r#"{"source":"whiteboard"}"#, Source::Unknown),
        ] {
            assert_eq!(Source::of(kind, &Opaque::parse(app_data)), source, "{kind:?} {app_data}");
        }
    }

    #[test]
    fn named_sources_are_those_and_no_names_are_all() {
        let some =
            Sources::named(&["MICROPHONE".to_owned(), "screen_share".to_owned(), "unknown".to_owned()]);
        let had: Vec<_> = Source::ALL.into_iter().filter(|source| some.has(*source)).collect();
        assert_eq!(had, [Source::Microphone, Source::ScreenShare]);
        assert!(Source::ALL.into_iter().all(|source| Sources::named(&[]).has(source)));
        assert!(Source::ALL.into_iter().all(|source| !Sources::named(&["x".to_owned()]).has(source)));
    }

    #[test]
    fn what_is_muted_is_of_its_kind_and_sources() {
        let mut muted = Muted::default();
        muted.add(MediaKind::Audio, Sources::ALL);
        muted.remove(MediaKind::Audio, Sources::named(&["microphone".to_owned()]));
        assert!(
            !muted.has(MediaKind::Audio, Source::Microphone) && !muted.has(MediaKind::Video, Source::Unknown)
        );
        assert!(
            muted.has(MediaKind::Audio, Source::ScreenShareAudio)
                && muted.has(MediaKind::Audio, Source::Unknown)
        );
    }
}
