use std::{process::Command, time::Instant};

use super::*;

#[test]
fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
    let line = "42 (a b) c) S 7 42 42 0 -1 4194304 104 0 1 0 3 4 0 0 20 0 1 0 135590 3133440 407";
    let stat = Stat::parse(line).unwrap();
    assert_eq!(
        (stat.state, stat.parent, stat.cpu_ticks, stat.start_time),
        ('S', 7, 7, 135_590)
    );
    assert!(Stat::parse("42 (cut").is_none());
}

#[test]
fn this_process_lives_and_another_start_time_is_another_process() {
    let this = Process::find(std::process::id()).unwrap();
    assert!(this.is_alive());
    assert!(
        !Process {
            start_time: this.start_time + 1,
            ..this
        }
        .is_alive()
    );
    assert!(resident_bytes(this.pid).unwrap() > 100_000);
}

#[test]
fn work_shows_in_the_cpu_time() {
    let before = cpu(std::process::id()).unwrap();
    let until = Instant::now() + Duration::from_millis(30);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    assert!(cpu(std::process::id()).unwrap() > before);
}

#[test]
fn a_child_that_was_killed_is_gone_even_before_it_is_fetched() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let process = Process::find(child.id()).unwrap();
    assert!(Process::find(std::process::id()).unwrap().children().contains(&process));
    child.kill().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.is_alive() {
        assert!(Instant::now() < deadline, "the corpse still counts as alive");
        std::thread::yield_now();
    }
    child.wait().unwrap();
}
