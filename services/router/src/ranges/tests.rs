use super::of;

#[test]
fn neighbours_join_and_gaps_stay() {
    type Row = (&'static [u64], &'static [(u64, u64)]);
    let rows: [Row; 5] = [
        (&[], &[]),
        (&[7], &[(7, 7)]),
        (&[3, 1, 2], &[(1, 3)]),
        (&[1, 2, 4, 5, 9], &[(1, 2), (4, 5), (9, 9)]),
        (&[2, 2, 3, u64::MAX], &[(2, 3), (u64::MAX, u64::MAX)]),
    ];
    for (seqs, ranges) in rows {
        assert_eq!(of(seqs.to_vec()), ranges, "{seqs:?}");
    }
}
