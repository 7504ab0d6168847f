//! Modes in which spatial layers have their temporal base layers in different pictures (`L2T2_KEY_SHIFT`).

use std::collections::HashSet;

use super::*;

const FORMS: [Form; 2] = [Form::Vp9Shift, Form::Av1Shift];

/// Distance in pictures from a frame to the frame of the same spatial layer that it refers to; none for key frames, and
/// for the upper layer of their pictures.
fn reference(form: Form, position: usize, spatial: u8) -> Option<usize> {
    (1..=position).find(|back| form.temporal_layer(position - back, spatial).0 == 0)
}

/// Asserts that every frame sent is decodable and belongs to the layers being sent.
fn assert_decodable(form: Form, run: &Run) {
    let interval = CLOCK * FRAME_INTERVAL.as_millis() as u32 / 1000;
    let mut sent = HashSet::new();
    for one in run.bench.by_output().values() {
        let (timestamp, spatial) = (one.packet.timestamp, one.frame.spatial_layer);
        let position = run.positions[&timestamp];
        assert_eq!(one.frame.temporal_layer, form.temporal_layer(position, spatial).0);
        if let Some(back) = reference(form, position, spatial) {
            let refers_to = timestamp.wrapping_sub(interval * back as u32);
            assert!(sent.contains(&(refers_to, spatial)), "{form:?}: reference of {one:?}");
        } else if spatial > 0 {
            assert!(sent.contains(&(timestamp, spatial - 1)), "{form:?}: layer below {one:?}");
        }
        sent.insert((timestamp, spatial));
    }
}

/// Sends pictures without loss with these preferred layers, and returns the layers of each picture from the next key
/// frame on.
fn layers_sent(form: Form, spatial: u8, temporal: u8) -> Vec<Vec<(u8, u8)>> {
    let mut bench = Bench::new(form, 1, 1);
    let mut sources = [Source::new(form, 0, &mut StdRng::seed_from_u64(1))];
    for picture in 0..30 {
        sources[0].key_frame |= picture == 10;
        for packet in bench.next_pictures(&mut sources) {
            bench.receive(&packet);
        }
        bench.end_batch();
        if picture == 5 {
            bench.prefer(spatial, temporal);
        }
    }
    let mut pictures: BTreeMap<u128, Vec<(u8, u8)>> = BTreeMap::new();
    for one in bench.by_output().values() {
        let layers = (one.frame.spatial_layer, one.frame.temporal_layer);
        let frames = pictures.entry(one.at.as_millis()).or_default();
        frames.push(layers);
    }
    let key_frame = FRAME_INTERVAL.as_millis() * 11;
    pictures.split_off(&key_frame).into_values().collect()
}

#[test]
fn each_target_is_its_own_spatial_layer_and_both_at_key_frames() {
    let both = || vec![(0, 0), (1, 0)];
    for form in FORMS {
        let all = layers_sent(form, 1, 1);
        assert_eq!(all.len(), 20, "{form:?}");
        assert_eq!(all[..5], [both(), vec![(1, 1)], vec![(1, 0)], vec![(1, 1)], vec![(1, 0)]], "{form:?}");
        let base_of_upper = layers_sent(form, 1, 0);
        assert_eq!(base_of_upper[..3], [both(), vec![(1, 0)], vec![(1, 0)]], "{form:?}");
        assert_eq!(base_of_upper.len(), 10, "{form:?}: one picture of two");
        let lower = layers_sent(form, 0, 1);
        assert_eq!(lower.len(), 20, "{form:?}");
        assert_eq!(lower[..4], [vec![(0, 0)], vec![(0, 0)], vec![(0, 1)], vec![(0, 0)]], "{form:?}");
        let base_of_lower = layers_sent(form, 0, 0);
        assert_eq!(base_of_lower[..3], [vec![(0, 0)], vec![(0, 0)], vec![(0, 0)]], "{form:?}");
        assert_eq!(base_of_lower.len(), 11, "{form:?}: the key frame and those of uneven place");
    }
}

#[test]
fn switches_forward_only_decodable_frames() {
    for form in FORMS {
        for seed in 0..20 {
            let run = run(form, 1, seed, 600, NONE);
            run.check().unwrap();
            run.check_layers(FRAME_INTERVAL * 2).unwrap();
            assert_decodable(form, &run);
            let sent = run.bench.by_output();
            let (first, last) = (*sent.keys().next().unwrap(), *sent.keys().last().unwrap());
            assert_eq!(last - first + 1, sent.len() as u64, "{form:?}: no gaps");
            let markers = sent.values().filter(|one| one.packet.marker).count();
            let pictures: HashSet<_> = sent.values().map(|one| one.packet.timestamp).collect();
            assert_eq!(markers, pictures.len(), "{form:?}: each picture has one marker");
            for layers in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let is_of = |one: &&Sent| (one.frame.spatial_layer, one.frame.temporal_layer) == layers;
                assert!(sent.values().any(|one| is_of(&one)), "{form:?}: {layers:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn shifted_svc_stays_one_stream_for_arbitrary_input(
        seed: u64, lost in 0u32..60, late in 0usize..6, change in 5u32..60, form in prop::sample::select(&FORMS),
    ) {
        let run = run(form, 1, seed, 250, Accidents { lost, late, change, in_need: false });
        run.check()?;
        prop_assert!(run.bench.sent.len() > 50);
    }
}
