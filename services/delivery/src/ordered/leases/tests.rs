use super::*;

fn leases(workers: &[&str], taken: &[u32]) -> OrderedLeases {
    OrderedLeases {
        workers: workers.iter().map(|name| (*name).to_owned()).collect(),
        taken: taken.iter().copied().collect(),
    }
}

fn ours(numbers: &[u32]) -> BTreeMap<u32, bool> {
    numbers.iter().map(|number| (*number, false)).collect()
}

#[test]
fn one_process_takes_all() {
    let plan = plan(&leases(&["a"], &[]), &ours(&[]), "a");
    assert_eq!((plan.take.len(), plan.give.len()), (8, 0));
}

#[test]
fn a_second_process_gets_half_once_the_first_gives_it_back() {
    let all = [0, 1, 2, 3, 4, 5, 6, 7];
    let first = plan(&leases(&["a", "b"], &all), &ours(&all), "a");
    assert_eq!((first.take.len(), first.give), (0, vec![4, 5, 6, 7]));
    let second = plan(&leases(&["a", "b"], &[0, 1, 2, 3]), &ours(&[]), "b");
    assert_eq!(
        second.take.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([4, 5, 6, 7])
    );
}

#[test]
fn what_is_being_given_back_is_not_taken_again_and_not_given_twice() {
    let ours = BTreeMap::from([(0, false), (1, false), (2, false), (3, false), (4, true)]);
    let plan = plan(&leases(&["a", "b"], &[0, 1, 2, 3, 4]), &ours, "a");
    assert_eq!((plan.take.len(), plan.give.len()), (0, 0));
}

#[test]
fn three_processes_leave_nothing_over() {
    let mut taken: Vec<u32> = Vec::new();
    for name in ["a", "b", "c"] {
        taken.extend(plan(&leases(&["a", "b", "c"], &taken), &ours(&[]), name).take);
    }
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_process_that_is_not_listed_yet_counts_itself() {
    let plan = plan(&leases(&["b"], &[0, 1, 2, 3]), &ours(&[]), "a");
    assert_eq!(plan.take.len(), 4);
}

#[test]
fn a_partition_that_is_had_by_a_later_lease_is_not_given_back() {
    let begun = Instant::now();
    let (before, after) = (Validity::new(begun), Validity::new(begun));
    let mut held = BTreeMap::from([(3, after.clone())]);
    assert!(take_over(&mut held, &(3, before), |validity| validity).is_none());
    assert_eq!(held.len(), 1);
    assert!(take_over(&mut held, &(3, after), |validity| validity).is_some());
    assert!(held.is_empty());
}
