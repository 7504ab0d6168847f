//! Lists of records of equal size, read from the wire on demand.

use std::fmt;
use std::marker::PhantomData;

use crate::units::Ssrc;

/// Value with a fixed size on the wire.
pub trait WireRecord: Sized {
    /// Size of the record in bytes.
    const LEN: usize;

    /// Reads the record from exactly [`Self::LEN`] bytes.
    fn read(bytes: &[u8]) -> Self;
}

impl WireRecord for Ssrc {
    const LEN: usize = 4;

    fn read(bytes: &[u8]) -> Self {
        Ssrc(u32_at(bytes, 0))
    }
}

/// Borrowed list of records.
pub struct WireList<'a, T> {
    bytes: &'a [u8],
    record: PhantomData<T>,
}

impl<'a, T: WireRecord> WireList<'a, T> {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::LEN
    }

    /// True if there are no records.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Records in the order of the packet.
    pub fn iter(&self) -> WireListIter<'a, T> {
        WireListIter { chunks: self.bytes.chunks_exact(T::LEN), record: PhantomData }
    }

    /// List of all of `bytes`, if that is a whole number of records.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(T::LEN).then_some(Self { bytes, record: PhantomData })
    }

    /// List of `count` records at the start of `bytes`, and the bytes after it.
    pub(super) fn split(bytes: &'a [u8], count: u8) -> Option<(Self, &'a [u8])> {
        let (bytes, rest) = bytes.split_at_checked(usize::from(count) * T::LEN)?;
        Some((Self { bytes, record: PhantomData }, rest))
    }
}

impl<T> Clone for WireList<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for WireList<'_, T> {}

impl<T: WireRecord + fmt::Debug> fmt::Debug for WireList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a, T: WireRecord> IntoIterator for WireList<'a, T> {
    type Item = T;
    type IntoIter = WireListIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: WireRecord> IntoIterator for &WireList<'a, T> {
    type Item = T;
    type IntoIter = WireListIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterator of [`WireList::iter`].
#[derive(Clone, Debug)]
pub struct WireListIter<'a, T> {
    chunks: std::slice::ChunksExact<'a, u8>,
    record: PhantomData<T>,
}

impl<T: WireRecord> Iterator for WireListIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.chunks.next().map(T::read)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.chunks.size_hint()
    }
}

impl<T: WireRecord> ExactSizeIterator for WireListIter<'_, T> {}

/// Big-endian number at `offset`, which must be inside `bytes`.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// As [`u16_at`], for 32 bits.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}
