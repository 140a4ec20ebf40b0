use super::*;

#[test]
fn words_of_several_vocabularies_are_read_in_any_case() {
    for (severity, words) in [
        (Severity::Low, ["low", "LOW", "sev4", "Info"]),
        (Severity::Medium, ["medium", "Medium", "SEV3", "warning"]),
        (Severity::High, ["high", "hIgH", "sev2", "ERROR"]),
        (Severity::Critical, ["critical", "CRITICAL", "sev1", "Sev1"]),
    ] {
        for word in words {
            assert_eq!(Severity::read(word), Some(severity), "{word}");
        }
    }
    for word in ["", " low", "low ", "sev0", "sev5", "sev", "fatal", "1", "ℓow", "low\0"] {
        assert_eq!(Severity::read(word), None, "{word:?}");
    }
}

#[test]
fn the_four_rise_and_are_written_as_they_are_read() {
    assert!(Severity::ALL.is_sorted());
    assert_eq!(Severity::default(), Severity::Low);
    for severity in Severity::ALL {
        assert_eq!(Severity::read(severity.as_str()), Some(severity));
        assert_eq!(severity.to_string(), severity.as_str());
        assert_eq!(
            serde_json::to_string(&severity).expect("JSON"),
            format!("{:?}", severity.as_str())
        );
    }
}
