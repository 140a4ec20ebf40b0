use signalbox_providers::planned;

use super::*;

#[test]
fn every_block_leads_to_a_provider_that_is_there_or_planned() {
    for block in all() {
        assert!(
            signalbox_providers::find(block.provider).is_some() || planned::provider(block.provider).is_some(),
            "{}",
            block.provider
        );
    }
    assert!(all().is_sorted_by_key(|block| block.key));
    assert_eq!(find("newrelic").map(|block| block.key), Some("new_relic"));
}

#[test]
fn what_a_variable_fills_is_a_field_of_the_block() {
    for block in all() {
        for need in block.needs {
            let (part, field) = need.field.split_once('/').expect("a part and a field");
            let first = field.split('/').next().expect("a field");
            assert_eq!(
                block.target(first),
                Some(format!("{part}/{first}")),
                "{} {}",
                block.key,
                need.field
            );
        }
    }
}

#[test]
fn what_a_provider_that_is_there_takes_is_what_its_block_gives() {
    for block in all() {
        let Some(entry) = signalbox_providers::find(block.provider) else {
            continue;
        };
        for (schema, fields) in [
            (entry.config_schema(), block.config),
            (entry.credentials_schema(), block.credentials),
        ] {
            for field in fields {
                let known = schema["properties"].get(field).is_some();
                assert!(known, "{} has no field {field}", block.provider);
            }
        }
    }
}
