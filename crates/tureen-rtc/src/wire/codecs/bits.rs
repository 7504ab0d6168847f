//! Reading and writing of bits, the most significant one first.

/// Reads bits from a slice.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Number of bits read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Reads the next `count` bits, at most 32.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        let end = self.position + count as usize;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0u64;
        while self.position < end {
            let left_in_byte = 8 - self.position % 8;
            let step = left_in_byte.min(end - self.position);
            let byte = u64::from(self.bytes[self.position / 8]);
            let bits = byte >> (left_in_byte - step) & ((1 << step) - 1);
            value = value << step | bits;
            self.position += step;
        }
        Some(value as u32)
    }

    /// Reads a value below `n`, of which lower ones take fewer bits (AV1 §4.10.7 "ns(n)"). `n` must not be 0.
    pub(super) fn read_non_symmetric(&mut self, n: u32) -> Option<u32> {
        let width = 32 - n.leading_zeros();
        let short_values = (1u64 << width) as u32 - n;
        let value = self.read(width - 1)?;
        if value < short_values {
            return Some(value);
        }
        Some((value << 1) - short_values + self.read(1)?)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        let end = self.position + count;
        if end > self.bytes.len() * 8 {
            return None;
        }
        self.position = end;
        Some(())
    }
}

/// Writes bits into a slice.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    position: usize,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Writes the lowest `count` bits of `value`, at most 32. `None` if they do not fit.
    pub(super) fn write(&mut self, value: u32, count: u32) -> Option<()> {
        if self.position + count as usize > self.bytes.len() * 8 {
            return None;
        }
        for bit in (0..count).rev() {
            let byte = &mut self.bytes[self.position / 8];
            let at = 7 - self.position % 8;
            *byte = *byte & !(1 << at) | ((value >> bit & 1) as u8) << at;
            self.position += 1;
        }
        Some(())
    }

    /// Fills the last byte with zeros and returns the number of bytes written.
    pub(super) fn finish(self) -> usize {
        let len = self.position.div_ceil(8);
        if !self.position.is_multiple_of(8) {
            self.bytes[len - 1] &= !(0xff >> (self.position % 8));
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_across_bytes() {
        let mut r = BitReader::new(&[0b1010_0101, 0xff, 0x00, 0x81, 0x7e]);
        assert_eq!((r.read(3), r.read(7), r.read(0)), (Some(0b101), Some(0b0010111), Some(0)));
        assert_eq!(r.read(30), Some(0b11_1111_0000_0000_1000_0001_0111_1110));
        assert_eq!((r.read(1), r.read(1)), (None, None));
        assert_eq!(BitReader::new(&[1, 2, 3, 4]).read(32), Some(0x0102_0304));
    }

    #[test]
    fn low_values_of_odd_ranges_take_a_bit_less() {
        // AV1 §4.10.7: of 5 values, 0 to 2 have two bits, 3 and 4 have three.
        let values =
            [(0b00_000000u8, 0), (0b01_000000, 1), (0b10_000000, 2), (0b110_00000, 3), (0b111_00000, 4)];
        for (byte, value) in values {
            assert_eq!(BitReader::new(&[byte]).read_non_symmetric(5), Some(value));
        }
        assert_eq!(BitReader::new(&[]).read_non_symmetric(1), Some(0), "a single value takes no bits");
    }

    #[test]
    fn written_bits_are_read_back() {
        let mut bytes = [0xff; 3];
        let mut w = BitWriter::new(&mut bytes);
        for (value, count) in [(0b101, 3), (0, 6), (0b11, 2)] {
            w.write(value, count).unwrap();
        }
        assert_eq!(w.write(0, 14), None);
        assert_eq!(w.finish(), 2);
        assert_eq!(bytes, [0b1010_0000, 0b0110_0000, 0xff]);
    }
}
