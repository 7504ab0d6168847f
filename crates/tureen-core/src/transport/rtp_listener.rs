//! Which Producer an incoming RTP packet belongs to: by SSRC, then MID, then RID (mediasoup RtpListener).

use hashbrown::HashMap;

use crate::api::RequestError;
use crate::types::rtp_parameters::RtpParameters;
use crate::units::Ssrc;
use crate::wire::rtp::extensions::MediaId;
use crate::wire::rtp::{ExtensionIds, RtpHeader};

/// How many SSRCs a transport learns from MID and RID beyond those that were signalled.
pub const MAX_LEARNED_SSRCS: usize = 512;

/// The tables of one transport. `K` names a Producer.
#[derive(Debug)]
pub struct RtpListener<K> {
    ssrcs: HashMap<Ssrc, K>,
    mids: HashMap<String, K>,
    rids: HashMap<String, K>,
    learned: usize,
}

impl<K: Copy + PartialEq> RtpListener<K> {
    /// No producers.
    pub fn new() -> Self {
        Self { ssrcs: HashMap::new(), mids: HashMap::new(), rids: HashMap::new(), learned: 0 }
    }

    /// Enters a Producer; on error nothing is entered.
    ///
    /// # Errors
    /// An SSRC or MID that another Producer of the transport has, or a RID without MID that another has.
    pub fn add(&mut self, producer: K, parameters: &RtpParameters) -> Result<(), RequestError> {
        let ssrcs = || {
            let rtx = parameters.encodings.iter().filter_map(|e| e.rtx.as_ref()).map(|rtx| rtx.ssrc);
            parameters.encodings.iter().filter_map(|e| e.ssrc).chain(rtx)
        };
        if let Some(ssrc) = ssrcs().find(|&ssrc| self.ssrcs.contains_key(&Ssrc(ssrc))) {
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
        self.ssrcs.extend(ssrcs().map(|ssrc| (Ssrc(ssrc), producer)));
        if let Some(mid) = mid {
            self.mids.insert(mid.to_owned(), producer);
        }
        for rid in rids() {
            self.rids.entry(rid.to_owned()).or_insert(producer);
        }
        Ok(())
    }

    /// Forgets a Producer.
    pub fn remove(&mut self, producer: K) {
        self.ssrcs.retain(|_, k| *k != producer);
        self.mids.retain(|_, k| *k != producer);
        self.rids.retain(|_, k| *k != producer);
        self.learned = self.learned.min(self.ssrcs.len());
    }

    /// The Producer of a packet. An SSRC that MID or RID identified is remembered, so that later packets, which don't
    /// carry them any more, are found.
    pub fn find(&mut self, header: &RtpHeader, packet: &[u8], ids: &ExtensionIds) -> Option<K> {
        if let Some(&producer) = self.ssrcs.get(&header.ssrc) {
            return Some(producer);
        }
        let text = |id| header.read::<MediaId<'_>>(packet, id).map(|value| value.0);
        let producer = text(ids.mid)
            .and_then(|mid| self.mids.get(mid))
            .or_else(|| text(ids.rid).and_then(|rid| self.rids.get(rid)))
            .or_else(|| text(ids.repaired_rid).and_then(|rid| self.rids.get(rid)))
            .copied()?;
        if self.learned < MAX_LEARNED_SSRCS {
            self.learned += 1;
            self.ssrcs.insert(header.ssrc, producer);
        }
        Some(producer)
    }

    /// The Producer that an SSRC is known to belong to.
    pub fn by_ssrc(&self, ssrc: Ssrc) -> Option<K> {
        self.ssrcs.get(&ssrc).copied()
    }

    /// SSRCs and their producers.
    pub fn ssrcs(&self) -> impl Iterator<Item = (Ssrc, K)> + '_ {
        self.ssrcs.iter().map(|(&ssrc, &k)| (ssrc, k))
    }

    /// MIDs and their producers.
    pub fn mids(&self) -> impl Iterator<Item = (&str, K)> + '_ {
        self.mids.iter().map(|(mid, &k)| (mid.as_str(), k))
    }

    /// RIDs and their producers.
    pub fn rids(&self) -> impl Iterator<Item = (&str, K)> + '_ {
        self.rids.iter().map(|(rid, &k)| (rid.as_str(), k))
    }
}

impl<K: Copy + PartialEq> Default for RtpListener<K> {
    fn default() -> Self {
        Self::new()
    }
}
