use std::collections::BTreeSet;

use axum::http::Method;

use super::*;

/// Every route with who may call it and what it changes. A change here is a change of what keys may do.
const GOLDEN: &str = "\
POST /v1/events events:write Org published
GET /v1/events/{id} deliveries:read Org -
POST /v1/events/replay dead-letters:write Org events.replayed
GET /v1/tail/{what} deliveries:read Org -
GET /v1/integrations integrations:read Org -
POST /v1/integrations integrations:write Org integration.created integration.paused org.created
PUT /v1/integrations/{id} integrations:write Org integration.updated integration.paused integration.resumed integration.activated
PATCH /v1/integrations/{id} integrations:write Org integration.updated integration.paused integration.resumed integration.activated
POST /v1/integrations/{id}/activate integrations:write Org integration.activated integration.resumed
POST /v1/integrations/{id}/deactivate integrations:write Org integration.deactivated
GET /v1/integrations/{id} integrations:read Org -
DELETE /v1/integrations/{id} integrations:write Org integration.deleted
POST /v1/integrations/{id}/pause integrations:write Org integration.paused
POST /v1/integrations/{id}/resume integrations:write Org integration.resumed
POST /v1/integrations/{id}/test integrations:write Org integration.tested
POST /v1/integrations/{id}/preview integrations:read Org -
POST /v1/apply integrations:write AnyOrg integration.created integration.updated integration.deleted org.created
GET /v1/export integrations:read AnyOrg -
POST /v1/subscriptions/try integrations:read Org -
GET /v1/integrations/{id}/settings integrations:read Org -
GET /v1/deliveries deliveries:read Org -
GET /v1/integrations/{id}/deliveries deliveries:read Org -
GET /v1/deliveries/{id} deliveries:read Org -
POST /v1/deliveries/{id}/retry dead-letters:write Org delivery.retried
POST /v1/deliveries/retry dead-letters:write Org deliveries.retried
POST /v1/deliveries/discard dead-letters:write Org deliveries.discarded
GET /v1/stats deliveries:read Org -
GET /v1/dead-letters deliveries:read Org -
GET /v1/dead-letters/{id} deliveries:read Org -
POST /v1/dead-letters/replay dead-letters:write Org dead_letters.replayed
POST /v1/dead-letters/discard dead-letters:write Org dead_letters.discarded
GET /v1/acts deliveries:read AnyOrg -
GET /v1/acts/{id} deliveries:read AnyOrg -
POST /v1/acts/{id}/cancel dead-letters:write AnyOrg act.cancelled
POST /v1/acts/{id}/resume dead-letters:write AnyOrg act.resumed
GET /v1/event-types integrations:read Org -
POST /v1/event-types integrations:write Org event_type.created org.created
GET /v1/event-types/{type} integrations:read Org -
PUT /v1/event-types/{type} integrations:write Org event_type.updated event_type.created org.created
DELETE /v1/event-types/{type} integrations:write Org event_type.deleted
GET /v1/providers integrations:read Org -
GET /v1/providers/{name} integrations:read Org -
GET /v1/orgs admin AnyOrg -
POST /v1/orgs admin Installation org.created
GET /v1/orgs/{name} admin AnyOrg -
GET /v1/api-keys admin AnyOrg -
POST /v1/api-keys admin Org api_key.created org.created
GET /v1/api-keys/{id} admin AnyOrg -
POST /v1/api-keys/{id}/rotate admin AnyOrg api_key.rotated
DELETE /v1/api-keys/{id} admin AnyOrg api_key.revoked
GET /v1/audit admin AnyOrg -
GET /v1/doctor admin Installation -
POST /v1/doctor/repair admin Installation installation.repaired integration.repaired event_type.repaired api_key.repaired org.repaired
GET /v1/master-key admin Installation -
POST /v1/master-key/rotate admin Installation master_key.rotated
POST /v1/orgs/{name}/erase admin Installation org.erasure_begun
DELETE /v1/events/{id} admin Org event.erasure_begun
GET /v1/erasures/{id} admin AnyOrg -
GET /openapi.json open -
GET /docs open -
";

#[test]
fn the_routes_their_scopes_and_what_they_change_are_these() {
    let line = |route: &Route| {
        let access = match &route.access {
            Who::Anyone => "open".to_owned(),
            Who::Key(scope, reach) => format!("{} {reach:?}", scope.as_str()),
        };
        let effect = match route.effect {
            Effect::Change(actions) => actions.join(" "),
            Effect::Publishes => "published".to_owned(),
            Effect::Nothing => "-".to_owned(),
            Effect::Unsaid => "?".to_owned(),
        };
        format!("{} {} {access} {effect}\n", route.method, route.path)
    };
    let routes: String = table().iter().map(line).collect();
    assert_eq!(routes, GOLDEN);
}

#[test]
fn an_address_with_a_method_and_an_operation_id_are_each_of_one_route() {
    let table = table();
    let addresses: BTreeSet<(String, &str)> = table.iter().map(|one| (one.method.to_string(), one.path)).collect();
    let ids: BTreeSet<&str> = table.iter().map(|one| one.id).collect();
    assert_eq!((addresses.len(), ids.len()), (table.len(), table.len()));
}

#[test]
fn every_route_says_whether_it_changes_something() {
    for route in table() {
        assert_ne!(route.effect, Effect::Unsaid, "{} {}", route.method, route.path);
        let reads = [Method::GET, Method::HEAD].contains(&route.method);
        assert!(
            !reads || route.effect == Effect::Nothing,
            "{} {}",
            route.method,
            route.path
        );
    }
}

#[test]
fn every_route_is_told_in_full() {
    for route in table() {
        let name = format!("{} {}", route.method, route.path);
        assert!(!route.summary.is_empty() && !route.summary.ends_with('.'), "{name}");
        assert!(TAGS.iter().any(|(tag, _)| *tag == route.tag), "{name}: {}", route.tag);
        assert!(
            route.answers.iter().any(|answer| (200..300).contains(&answer.status)),
            "{name}"
        );
        let open: BTreeSet<&str> = route
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let named: BTreeSet<&str> = route
            .params
            .iter()
            .filter(|param| param.place == Place::Path)
            .map(|param| param.name)
            .collect();
        assert_eq!(open, named, "{name}");
        assert!(
            open.is_empty()
                || route.refusals.iter().any(|refusal| refusal.status == 404)
                || route.method == Method::PUT
                // What nobody knows may still be on its way, and is erased when it comes.
                || route.id == "eraseEvent",
            "{name}"
        );
        let mut params = BTreeSet::new();
        for param in &route.params {
            assert!(
                params.insert((param.place.as_str(), param.name)),
                "{name}: {} twice",
                param.name
            );
            assert!(
                !param.example().is_empty() && !param.about.is_empty(),
                "{name}: {}",
                param.name
            );
            assert_ne!(param.name, "org", "{name}: the frame reads it");
        }
        let takes = [Method::GET, Method::DELETE].contains(&route.method);
        assert!(!takes || route.body.is_none(), "{name}");
    }
}

#[test]
fn a_route_of_another_role_is_the_only_one_that_nobody_serves_here() {
    let elsewhere: Vec<Route> = table().into_iter().filter(|route| route.serve.is_none()).collect();
    let elsewhere: Vec<(&Method, &str)> = elsewhere.iter().map(|route| (&route.method, route.path)).collect();
    assert_eq!(elsewhere, [(&Method::POST, "/v1/events")]);
}
