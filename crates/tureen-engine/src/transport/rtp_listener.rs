//! Assignment of incoming RTP packets to Producers: by SSRC, then MID, then RID (mediasoup RtpListener).
//!
//! A weaker identifier never overrides a stronger one in the packet: a learned SSRC is superseded by another MID (RFC
//! 8843 §9.2), and an unknown MID is not replaced by a RID.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::api::RequestError;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtp::extension::MediaId;
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpHeader};
use tureen_types::rtp_parameters::RtpParameters;

/// Maximum number of SSRCs that a transport learns from MID and RID, in addition to the signalled ones. An SSRC is
/// removed when another one replaces it.
pub(crate) const MAX_LEARNED_SSRCS: usize = 512;

/// Identifier tables of one transport. `K` is the key of a Producer.
#[derive(Debug)]
pub(crate) struct RtpListener<K> {
    ssrcs: HashMap<Ssrc, Entry<K>>,
    mids: HashMap<String, K>,
    rids: HashMap<String, SmallVec<[Named<K>; 1]>>,
    learned: usize,
}

/// Producer of an SSRC.
#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    producer: K,
    /// True if learned by MID or RID, false if signalled.
    learned: bool,
    has_mid: bool,
}

/// A Producer with a RID; true if the Producer has a MID, too.
#[derive(Clone, Copy, Debug)]
struct Named<K> {
    producer: K,
    has_mid: bool,
}

/// Result of a Producer look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<K> {
    /// Found by a known SSRC.
    Known(K),
    /// Found by MID or RID; the SSRC is unknown.
    Named(K),
    /// The SSRC is unknown, and the packet carries no MID or RID.
    Unnamed,
    /// The MID or RID belongs to no Producer, or to several.
    Unknown,
}

impl<K: Copy + PartialEq> RtpListener<K> {
    /// Creates empty tables.
    pub(crate) fn new() -> Self {
        Self { ssrcs: HashMap::new(), mids: HashMap::new(), rids: HashMap::new(), learned: 0 }
    }

    /// Adds a Producer; nothing is added on error.
    ///
    /// # Errors
    /// Another Producer of the transport has the same SSRC or MID, or the same RID without MID.
    pub(crate) fn add(&mut self, producer: K, parameters: &RtpParameters) -> Result<(), RequestError> {
        let ssrcs = || {
            let rtx = parameters.encodings.iter().filter_map(|e| e.rtx.as_ref()).map(|rtx| rtx.ssrc);
            parameters.encodings.iter().filter_map(|e| e.ssrc).chain(rtx)
        };
        let is_signalled = |ssrc: &u32| self.ssrcs.get(&Ssrc(*ssrc)).is_some_and(|entry| !entry.learned);
        if let Some(ssrc) = ssrcs().find(is_signalled) {
            return Err(RequestError::Failed(format!("ssrc already exists in RTP listener [ssrc:{ssrc}]")));
        }
        let mid = parameters.mid.as_deref().filter(|mid| !mid.is_empty());
        if let Some(mid) = mid
            && self.mids.contains_key(mid)
        {
            return Err(RequestError::Failed(format!("MID already exists in RTP listener [mid:{mid}]")));
        }
        let rids = || parameters.encodings.iter().filter_map(|e| e.rid.as_deref());
        if mid.is_none()
            && let Some(rid) = rids().find(|&rid| self.rids.contains_key(rid))
        {
            let text = format!("RID already exists in RTP listener and no MID given [rid:{rid}]");
            return Err(RequestError::Failed(text));
        }
        let has_mid = mid.is_some();
        // A signalled SSRC replaces a learned one of another Producer.
        self.ssrcs.extend(ssrcs().map(|ssrc| (Ssrc(ssrc), Entry { producer, learned: false, has_mid })));
        self.learned = self.ssrcs.values().filter(|entry| entry.learned).count();
        if let Some(mid) = mid {
            self.mids.insert(mid.to_owned(), producer);
        }
        for rid in rids() {
            self.rids.entry(rid.to_owned()).or_default().push(Named { producer, has_mid });
        }
        Ok(())
    }

    /// Removes a Producer.
    pub(crate) fn remove(&mut self, producer: K) {
        self.ssrcs.retain(|_, entry| entry.producer != producer);
        self.mids.retain(|_, k| *k != producer);
        self.rids.retain(|_, named| {
            named.retain(|named| named.producer != producer);
            !named.is_empty()
        });
        self.learned = self.ssrcs.values().filter(|entry| entry.learned).count();
    }

    /// Finds the Producer of a packet.
    #[inline]
    pub(crate) fn find(&self, header: &RtpHeader, packet: &[u8], ids: &ExtensionIds) -> Found<K> {
        match self.ssrcs.get(&header.ssrc) {
            Some(entry) if !entry.learned => Found::Known(entry.producer),
            Some(entry) => match text(header, packet, ids[Extension::Mid]) {
                Some(mid) => match self.mids.get(mid) {
                    Some(&producer) if producer != entry.producer => Found::Named(producer),
                    None if entry.has_mid => Found::Unknown,
                    _ => Found::Known(entry.producer),
                },
                None => Found::Known(entry.producer),
            },
            None => self.find_by_name(header, packet, ids),
        }
    }

    #[cold]
    fn find_by_name(&self, header: &RtpHeader, packet: &[u8], ids: &ExtensionIds) -> Found<K> {
        let mid = text(header, packet, ids[Extension::Mid]);
        if let Some(&producer) = mid.and_then(|mid| self.mids.get(mid)) {
            return Found::Named(producer);
        }
        let rid = text(header, packet, ids[Extension::RtpStreamId])
            .or_else(|| text(header, packet, ids[Extension::RepairRtpStreamId]));
        let Some(rid) = rid else {
            return if mid.is_none() { Found::Unnamed } else { Found::Unknown };
        };
        // A Producer without MID accepts packets with any MID.
        let named = self.rids.get(rid).map(SmallVec::as_slice).unwrap_or_default();
        let mut candidates = named.iter().filter(|named| mid.is_none() || !named.has_mid);
        match (candidates.next(), candidates.next()) {
            (Some(named), None) => Found::Named(named.producer),
            _ => Found::Unknown,
        }
    }

    /// Learns the SSRC of a packet with MID or RID, because later packets carry the SSRC only. An SSRC signalled for
    /// another Producer is not changed.
    pub(crate) fn learn(&mut self, ssrc: Ssrc, producer: K) {
        let has_mid = self.mids.values().any(|k| *k == producer);
        let entry = Entry { producer, learned: true, has_mid };
        match self.ssrcs.get_mut(&ssrc) {
            Some(known) if known.learned => *known = entry,
            Some(_) => {}
            None if self.learned < MAX_LEARNED_SSRCS => {
                self.learned += 1;
                self.ssrcs.insert(ssrc, entry);
            }
            None => {}
        }
    }

    /// Removes a learned SSRC that another one replaced. Signalled SSRCs stay.
    pub(crate) fn forget(&mut self, ssrc: Ssrc, producer: K) {
        if self.ssrcs.get(&ssrc).is_some_and(|entry| entry.learned && entry.producer == producer) {
            self.ssrcs.remove(&ssrc);
            self.learned -= 1;
        }
    }

    /// Producer of a known SSRC.
    pub(crate) fn by_ssrc(&self, ssrc: Ssrc) -> Option<K> {
        self.ssrcs.get(&ssrc).map(|entry| entry.producer)
    }

    /// SSRCs and their producers.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = (Ssrc, K)> + '_ {
        self.ssrcs.iter().map(|(&ssrc, entry)| (ssrc, entry.producer))
    }

    /// MIDs and their producers.
    pub(crate) fn mids(&self) -> impl Iterator<Item = (&str, K)> + '_ {
        self.mids.iter().map(|(mid, &k)| (mid.as_str(), k))
    }

    /// RIDs and the first Producer of each.
    pub(crate) fn rids(&self) -> impl Iterator<Item = (&str, K)> + '_ {
        self.rids.iter().filter_map(|(rid, named)| Some((rid.as_str(), named.first()?.producer)))
    }
}

fn text<'a>(header: &RtpHeader, packet: &'a [u8], id: Option<std::num::NonZeroU8>) -> Option<&'a str> {
    header.read::<MediaId<'_>>(packet, id).map(|value| value.0)
}

impl<K: Copy + PartialEq> Default for RtpListener<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use super::*;
    use serde_json::json;
    use tureen_rtc::units::PayloadType;
    use tureen_rtc::wire::rtp::{RtpFields, RtpHeaderWriter};

    fn ids() -> ExtensionIds {
        ExtensionIds::default()
            .with(Extension::Mid, NonZeroU8::new(1))
            .with(Extension::RtpStreamId, NonZeroU8::new(2))
            .with(Extension::RepairRtpStreamId, NonZeroU8::new(3))
    }

    fn parameters(mid: Option<&str>, ssrcs: &[u32], rids: &[&str]) -> RtpParameters {
        let ssrcs = ssrcs.iter().map(|ssrc| json!({ "ssrc": ssrc }));
        let encodings: Vec<_> = ssrcs.chain(rids.iter().map(|rid| json!({ "rid": rid }))).collect();
        let mut value = json!({ "codecs": [], "headerExtensions": [], "encodings": encodings, "rtcp": {} });
        if let Some(mid) = mid {
            value["mid"] = mid.into();
        }
        serde_json::from_value(value).expect("well formed")
    }

    fn find(listener: &RtpListener<u8>, ssrc: u32, mid: &str, rid: &str, rrid: &str) -> Found<u8> {
        let ids = ids();
        let mut bytes = vec![0; 128];
        let fields = RtpFields {
            marker: false,
            has_padding: false,
            payload_type: PayloadType(96),
            sequence_number: 1,
            timestamp: 0,
            ssrc: Ssrc(ssrc),
        };
        let mut writer = RtpHeaderWriter::new(&mut bytes, &fields).expect("there is room");
        for (id, value) in [
            (ids[Extension::Mid], mid),
            (ids[Extension::RtpStreamId], rid),
            (ids[Extension::RepairRtpStreamId], rrid),
        ] {
            if !value.is_empty() {
                writer.push(id.expect("set").get(), value.as_bytes()).expect("there is room");
            }
        }
        let len = writer.finish().expect("there is room").len;
        let header = RtpHeader::parse(&bytes[..len]).expect("well formed");
        listener.find(&header, &bytes[..len], &ids)
    }

    #[test]
    fn rid_of_an_unknown_mid_matches_no_producer() {
        let mut listener = RtpListener::new();
        listener.add(1, &parameters(Some("cam"), &[], &["r0", "r1"])).expect("new");
        listener.add(2, &parameters(Some("scr"), &[], &["r0", "r1"])).expect("new");
        assert_eq!(find(&listener, 10, "cam", "r0", ""), Found::Named(1));
        assert_eq!(find(&listener, 20, "scr", "r0", ""), Found::Named(2));
        assert_eq!(find(&listener, 20, "", "r0", ""), Found::Unknown, "whose?");
        listener.remove(2);
        assert_eq!(find(&listener, 20, "scr", "r0", ""), Found::Unknown);
        assert_eq!(find(&listener, 20, "scr", "", "r0"), Found::Unknown);
        assert_eq!(find(&listener, 20, "", "r0", ""), Found::Named(1), "the only one");
        assert_eq!(find(&listener, 20, "", "", "r1"), Found::Named(1));
        assert_eq!(find(&listener, 20, "", "", ""), Found::Unnamed);
        listener.remove(1);
        assert_eq!(find(&listener, 20, "", "r0", ""), Found::Unknown);
    }

    #[test]
    fn rid_of_the_second_producer_matches_after_the_first_closed() {
        let mut listener = RtpListener::new();
        listener.add(1, &parameters(Some("cam"), &[], &["r0"])).expect("new");
        listener.add(2, &parameters(Some("scr"), &[], &["r0"])).expect("new");
        listener.remove(1);
        assert_eq!(find(&listener, 20, "", "r0", ""), Found::Named(2));
        assert_eq!(listener.rids().collect::<Vec<_>>(), [("r0", 2)]);
    }

    #[test]
    fn producer_without_mid_accepts_any_packet() {
        let mut listener = RtpListener::new();
        listener.add(1, &parameters(None, &[], &["r0"])).expect("new");
        assert_eq!(find(&listener, 10, "0", "r0", ""), Found::Named(1));
        listener.learn(Ssrc(10), 1);
        assert_eq!(find(&listener, 10, "0", "", ""), Found::Known(1));
    }

    #[test]
    fn learned_ssrc_yields_to_another_mid_and_a_signalled_one_does_not() {
        let mut listener = RtpListener::new();
        listener.add(1, &parameters(Some("0"), &[100], &["r0"])).expect("new");
        listener.add(2, &parameters(Some("1"), &[], &["r0"])).expect("new");
        assert_eq!(find(&listener, 100, "1", "", ""), Found::Known(1), "as mediasoup");
        listener.learn(Ssrc(10), 1);
        assert_eq!(find(&listener, 10, "0", "", ""), Found::Known(1));
        assert_eq!(find(&listener, 10, "", "", ""), Found::Known(1));
        assert_eq!(find(&listener, 10, "1", "", ""), Found::Named(2));
        assert_eq!(find(&listener, 10, "2", "", ""), Found::Unknown);
        listener.learn(Ssrc(10), 2);
        assert_eq!(find(&listener, 10, "1", "", ""), Found::Known(2));
        listener.learn(Ssrc(100), 2);
        assert_eq!(listener.by_ssrc(Ssrc(100)), Some(1));
        assert!(listener.add(3, &parameters(Some("2"), &[100], &[])).is_err());
        listener.add(3, &parameters(Some("2"), &[10], &[])).expect("10 was only learned");
        assert_eq!((listener.by_ssrc(Ssrc(10)), listener.learned), (Some(3), 0));
    }

    #[test]
    fn learned_ssrcs_are_bounded_and_forgotten() {
        let mut listener = RtpListener::new();
        listener.add(1, &parameters(Some("0"), &[7], &[])).expect("new");
        for ssrc in 0..1000 {
            listener.learn(Ssrc(1000 + ssrc), 1);
            if ssrc > 0 {
                listener.forget(Ssrc(999 + ssrc), 1);
            }
        }
        assert_eq!(listener.ssrcs().count(), 2);
        (0..1000).for_each(|ssrc| listener.learn(Ssrc(5000 + ssrc), 1));
        assert_eq!(listener.ssrcs().count(), 1 + MAX_LEARNED_SSRCS);
        listener.forget(Ssrc(7), 1);
        assert_eq!(listener.by_ssrc(Ssrc(7)), Some(1), "it was signalled");
    }
}
