//! VP9 payload descriptor (RFC 9628 §4.2).
//!
//! ```text
//!       0 1 2 3 4 5 6 7
//!      +-+-+-+-+-+-+-+-+
//!      |I|P|L|F|B|E|V|Z|
//!      +-+-+-+-+-+-+-+-+
//! I:   |M| PICTURE ID  | M: one byte more
//! L:   | TID |U| SID |D|
//!      |   TL0PICIDX   | unless F
//! P,F: | P_DIFF      |N| up to three times, while N
//! V:   | scalability structure ...
//! ```

use super::{Cursor, PictureId, Prefix};

/// Maximum number of spatial layers in a scalability structure.
const MAX_SPATIAL_LAYERS: usize = 8;
/// Maximum number of reference indices of a frame or of a picture in a group.
const MAX_REFERENCES: usize = 3;

/// VP9 payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Picture id (I).
    pub picture_id: Option<PictureId>,
    /// True if the frame is predicted from earlier pictures (P).
    pub inter_picture: bool,
    /// True in flexible mode, in which each frame lists its references (F).
    pub flexible: bool,
    /// True if the packet is the first of a layer frame (B).
    pub frame_start: bool,
    /// True if the packet is the last of a layer frame (E).
    pub frame_end: bool,
    /// True if no frame of a higher spatial layer refers to this one (Z).
    pub(crate) not_reference_for_upper_spatial_layers: bool,
    /// Layer of the frame (L).
    pub layer: Option<LayerIndices>,
    /// Scalability structure of the picture (V).
    pub structure: Option<ScalabilityStructure>,
    /// True if the packet starts a key picture: not predicted, and of the lowest spatial layer.
    pub key_frame: bool,
    /// Length of the descriptor in bytes.
    pub len: usize,
}

impl Descriptor {
    /// Spatial layer, 0 in a stream without layers.
    pub fn spatial_layer(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.spatial_layer)
    }

    /// Temporal layer, 0 in a stream without layers.
    pub fn temporal_layer(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.temporal_layer)
    }
}

/// Layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerIndices {
    /// Temporal layer, 0–7 (TID).
    pub temporal_layer: u8,
    /// True if a receiver may switch up to any higher temporal layer after this frame (U).
    pub switching_up_point: bool,
    /// Spatial layer, 0–7 (SID).
    pub spatial_layer: u8,
    /// True if the frame is predicted from the spatial layer below (D).
    pub inter_layer: bool,
    /// Running index of base layer pictures; only in non-flexible mode (TL0PICIDX).
    pub tl0_pic_idx: Option<u8>,
}

/// Spatial layers of a stream and its repeating pattern (SS, RFC 9628 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalabilityStructure {
    /// Number of spatial layers, 1–8.
    pub spatial_layers: u8,
    /// Width and height of each layer, if present.
    pub(crate) resolutions: Option<[(u16, u16); MAX_SPATIAL_LAYERS]>,
    /// Number of pictures in the repeating pattern, zero if absent.
    pub(crate) pictures_in_group: u8,
    /// Highest temporal layer in that pattern.
    pub(crate) highest_temporal_layer: u8,
}

/// Parses the descriptor at the start of an RTP payload.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let mut cursor = Cursor::new(payload);
    let first = cursor.u8()?;
    let [
        has_picture_id,
        inter_picture,
        has_layer,
        flexible,
        frame_start,
        frame_end,
        has_structure,
        not_reference_for_upper_spatial_layers,
    ] = [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01].map(|bit| first & bit != 0);

    let picture_id = if has_picture_id { Some(cursor.picture_id()?) } else { None };
    let layer = if has_layer { Some(parse_layer(&mut cursor, flexible)?) } else { None };
    if inter_picture && flexible {
        skip_references(&mut cursor)?;
    }
    let structure = if has_structure { Some(parse_structure(&mut cursor)?) } else { None };

    let lowest_layer = layer.is_none_or(|layer| layer.spatial_layer == 0);
    Some(Descriptor {
        picture_id,
        inter_picture,
        flexible,
        frame_start,
        frame_end,
        not_reference_for_upper_spatial_layers,
        layer,
        structure,
        key_frame: !inter_picture && frame_start && lowest_layer,
        len: cursor.offset,
    })
}

/// Rewrites the start of `payload` with another picture id and, if given, another TL0PICIDX. Reference indices are
/// kept, because they are differences. `None` for a descriptor without picture id, because there is nothing to rewrite.
pub fn rewrite(payload: &[u8], picture_id: u16, tl0_pic_idx: Option<u8>) -> Option<Prefix> {
    let descriptor = parse(payload)?;
    let id = descriptor.picture_id?;
    let mut prefix = Prefix::default();
    prefix.push(payload[0]);
    prefix.push_picture_id(picture_id);
    let mut replaced = id.offset + if id.long { 2 } else { 1 };
    if let Some(tl0) = descriptor.layer.and_then(|layer| layer.tl0_pic_idx) {
        prefix.push(payload[replaced]);
        prefix.push(tl0_pic_idx.unwrap_or(tl0));
        replaced += 2;
    }
    prefix.replaced = replaced as u8;
    Some(prefix)
}

fn parse_layer(cursor: &mut Cursor<'_>, flexible: bool) -> Option<LayerIndices> {
    let byte = cursor.u8()?;
    Some(LayerIndices {
        temporal_layer: byte >> 5,
        switching_up_point: byte & 0x10 != 0,
        spatial_layer: byte >> 1 & 0x07,
        inter_layer: byte & 0x01 != 0,
        tl0_pic_idx: if flexible { None } else { Some(cursor.u8()?) },
    })
}

/// RFC 9628 §4.2: "a maximum of 3" reference indices; the N bit is set if another one follows.
fn skip_references(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..MAX_REFERENCES {
        if cursor.u8()? & 0x01 == 0 {
            return Some(());
        }
    }
    None
}

fn parse_structure(cursor: &mut Cursor<'_>) -> Option<ScalabilityStructure> {
    let byte = cursor.u8()?;
    let spatial_layers = (byte >> 5) + 1;
    let resolutions = if byte & 0x10 != 0 {
        let mut resolutions = [(0, 0); MAX_SPATIAL_LAYERS];
        for resolution in resolutions.iter_mut().take(usize::from(spatial_layers)) {
            *resolution = (cursor.u16()?, cursor.u16()?);
        }
        Some(resolutions)
    } else {
        None
    };
    let pictures_in_group = if byte & 0x08 != 0 { cursor.u8()? } else { 0 };
    let mut highest_temporal_layer = 0;
    for _ in 0..pictures_in_group {
        let picture = cursor.u8()?;
        highest_temporal_layer = highest_temporal_layer.max(picture >> 5);
        cursor.bytes(usize::from(picture >> 2 & 0x03))?;
    }
    Some(ScalabilityStructure { spatial_layers, resolutions, pictures_in_group, highest_temporal_layer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_flexible_descriptor_is_read() {
        let d = parse(&[0b1110_0101, 0x80, 0x05, 0b0101_0011, 0x42, 0xff]).unwrap();
        assert_eq!(d.picture_id, Some(PictureId { value: 5, long: true, offset: 1 }));
        assert_eq!(
            d.layer,
            Some(LayerIndices {
                temporal_layer: 2,
                switching_up_point: true,
                spatial_layer: 1,
                inter_layer: true,
                tl0_pic_idx: Some(0x42),
            })
        );
        assert!(d.inter_picture && !d.flexible && !d.frame_start && d.frame_end);
        assert!(d.not_reference_for_upper_spatial_layers && !d.key_frame);
        assert_eq!((d.spatial_layer(), d.temporal_layer(), d.len), (1, 2, 5));
    }

    #[test]
    fn flexible_descriptor_has_references_but_no_tl0_pic_idx() {
        let d = parse(&[0b1111_1000, 0x11, 0x20, 0x03, 0x05, 0x06, 0xff]).unwrap();
        assert_eq!(d.picture_id, Some(PictureId { value: 0x11, long: false, offset: 1 }));
        assert_eq!(d.layer.unwrap().tl0_pic_idx, None);
        assert_eq!(d.len, 6);
        assert_eq!(parse(&[0b1111_1000, 0x11, 0x20, 0x03, 0x05, 0x07, 0x02]), None, "four references");
    }

    #[test]
    fn key_frame_is_the_start_of_an_unpredicted_lowest_layer() {
        assert!(parse(&[0b0000_1000]).unwrap().key_frame, "without layers");
        assert!(parse(&[0b0010_1000, 0x00, 0x00]).unwrap().key_frame);
        assert!(!parse(&[0b0010_1000, 0x02, 0x00]).unwrap().key_frame, "upper layer of the key picture");
        assert!(!parse(&[0b0110_1000, 0x00, 0x00]).unwrap().key_frame, "predicted");
        assert!(!parse(&[0b0010_0000, 0x00, 0x00]).unwrap().key_frame, "continues");
    }

    #[test]
    fn scalability_structure_is_read() {
        let payload = [
            0b0010_1010,
            0x00,
            0x01,
            0b0011_1000, // two layers, Y, G
            0x01,
            0x40,
            0x00,
            0xb4,
            0x02,
            0x80,
            0x01,
            0x68,
            0x02,        // two pictures
            0b0000_0100, // layer 0, one reference
            0x02,
            0b0101_1000, // layer 2, U, two references
            0x01,
            0x02,
            0xff,
        ];
        let d = parse(&payload).unwrap();
        let structure = d.structure.unwrap();
        assert_eq!((structure.spatial_layers, structure.pictures_in_group), (2, 2));
        assert_eq!(structure.resolutions.unwrap()[..2], [(320, 180), (640, 360)]);
        assert_eq!(structure.highest_temporal_layer, 2);
        assert_eq!(d.len, payload.len() - 1);
        for len in 0..payload.len() - 1 {
            assert_eq!(parse(&payload[..len]), None, "{len}");
        }
    }

    #[test]
    fn picture_id_and_index_are_rewritten() {
        let payload = [0b1110_0101, 0x05, 0b0101_0011, 0x42, 0xff];
        let prefix = rewrite(&payload, 0x1234, Some(7)).unwrap();
        assert_eq!((prefix.bytes(), prefix.replaced()), (&[0b1110_0101, 0x92, 0x34, 0b0101_0011, 7][..], 4));
        let again = parse(&[prefix.bytes(), &payload[prefix.replaced()..]].concat()).unwrap();
        assert_eq!(again.layer.unwrap().tl0_pic_idx, Some(7));
        let flexible = [0b1111_1000, 0x91, 0x22, 0x20, 0x03, 0x04, 0xff];
        let prefix = rewrite(&flexible, 1, Some(7)).unwrap();
        assert_eq!((prefix.bytes(), prefix.replaced()), (&[0b1111_1000, 0x80, 1][..], 3));
        assert_eq!(rewrite(&[0b0000_1000], 1, None), None);
    }
}
