use super::*;

fn problem(status: u16, remedy: Option<&str>) -> Failure {
    Failure::Problem(Problem {
        status,
        document: json!({ "status": status, "code": "invalid", "detail": "is none of a, b", "field": "status" }),
        remedy: remedy.map(str::to_owned),
    })
}

#[test]
fn each_failure_has_its_exit_code() {
    for (failure, code) in [
        (Failure::Failed(anyhow::anyhow!("no")), 1),
        (Failure::Usage("no".to_owned()), 2),
        (Failure::NotFound("no".to_owned()), 3),
        (Failure::Refused("no".to_owned()), 4),
        (problem(404, None), 3),
        (problem(409, None), 4),
        (problem(503, None), 1),
    ] {
        assert_eq!(failure.code(), code, "{failure:?}");
    }
}

#[test]
fn programs_find_code_and_detail_whoever_refused() {
    let own = Failure::Usage("--wait: 5m is not from 1s to 60s".to_owned()).document();
    assert_eq!(
        own,
        json!({ "code": "usage", "detail": "--wait: 5m is not from 1s to 60s" })
    );
    let of_the_api = problem(400, Some("write a")).document();
    assert_eq!(of_the_api["code"], "invalid");
    assert_eq!(of_the_api["field"], "status");
    assert_eq!(of_the_api["remedy"], "write a");
}

#[test]
fn people_read_the_field_the_reason_and_the_remedy() {
    assert_eq!(problem(400, None).text(), "status: is none of a, b");
    assert_eq!(problem(401, Some("write a")).text(), "status: is none of a, b\nwrite a");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(closed.report(Format::Table), ExitCode::SUCCESS);
}

#[test]
fn why_a_file_cannot_be_read_is_said_without_numbers_of_the_system() {
    let missing = std::fs::read("/no/such/file").expect_err("it is not there");
    assert_eq!(reason(&missing), "there is no such file or folder");
}
