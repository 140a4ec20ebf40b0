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
fn a_holder_that_has_not_renewed_for_two_thirds_of_the_time_sends_nothing() {
    let begun = Instant::now();
    let validity = Validity::new(begun);
    assert!(validity.holds(begun + Duration::from_secs(5)));
    assert!(!validity.holds(begun + TTL * 2 / 3));
    validity.renew(begun + Duration::from_secs(3));
    assert!(validity.holds(begun + Duration::from_secs(8)));
    assert!(!validity.holds(begun + Duration::from_secs(9)));
}
