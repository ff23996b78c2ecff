//! Every route, once: the router and the OpenAPI document are made of the same rows.

use axum::{Router, middleware};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, door, endpoint, problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "Face matching appliance for airport eGates: 1:1 and exact 1:N, decided by \
                       policy. Errors are RFC 9457 problem documents; branch on `code`. A request \
                       whose body may hold a face ends its connection. The header \
                       Portcullis-Deadline-Ms gives a request its own deadline."
    ),
    components(schemas(problem::ProblemDocument)),
    modifiers(&Bearer),
    security((), ("bearer" = []))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Needed beyond loopback, and wherever a token file is configured."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

fn rows() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(endpoint::verify::verify))
        .routes(routes!(endpoint::create_gallery::create_gallery))
        .routes(routes!(
            endpoint::describe_gallery::describe_gallery,
            endpoint::delete_gallery::delete_gallery
        ))
        .routes(routes!(endpoint::enrol::enrol))
        .routes(routes!(
            endpoint::erase::erase,
            endpoint::export_subject::export_subject,
            endpoint::replace::replace
        ))
        .routes(routes!(
            endpoint::give_consent::give_consent,
            endpoint::withdraw_consent::withdraw_consent
        ))
        .routes(routes!(endpoint::object::object))
        .routes(routes!(endpoint::list_affected::list_affected))
        .routes(routes!(endpoint::erase_selected::erase_selected))
        .routes(routes!(endpoint::restrict::restrict))
        .routes(routes!(endpoint::regroup::regroup))
        .routes(routes!(endpoint::enrol_holder::enrol_holder))
        .routes(routes!(endpoint::issue_token::issue_token))
        .routes(routes!(endpoint::identify::identify))
        .routes(routes!(endpoint::embed::embed))
        .routes(routes!(endpoint::push_frame::push_frame))
        .routes(routes!(endpoint::open_transaction::open_transaction))
        .routes(routes!(
            endpoint::read_transaction::read_transaction,
            endpoint::cancel_transaction::cancel_transaction
        ))
        .routes(routes!(endpoint::traveller_left::traveller_left))
        .routes(routes!(endpoint::override_transaction::override_transaction))
        .routes(routes!(endpoint::list_hits::list_hits))
        .routes(routes!(endpoint::read_hit::read_hit))
        .routes(routes!(endpoint::vote_on_hit::vote_on_hit))
        .routes(routes!(endpoint::describe_site::describe_site))
        .routes(routes!(endpoint::assess_site::assess_site))
        .routes(routes!(endpoint::activate_site::activate_site))
        .routes(routes!(endpoint::watch_transaction::watch_transaction))
        .routes(routes!(endpoint::display_texts::display_texts))
        .routes(routes!(endpoint::version::version))
        .routes(routes!(endpoint::livez::livez))
        .routes(routes!(endpoint::readyz::readyz))
        .routes(routes!(endpoint::startupz::startupz))
        .routes(routes!(endpoint::metrics::metrics))
        .routes(routes!(endpoint::openapi::openapi))
}

/// The router, with the door around every route.
pub fn router(api: Api) -> Router {
    let (router, _document) = rows().split_for_parts();
    router
        .fallback(door::unknown_route)
        .method_not_allowed_fallback(door::unknown_method)
        .layer(middleware::from_fn_with_state(api.clone(), door::guard))
        .layer(middleware::from_fn_with_state(api.clone(), door::net))
        .with_state(api)
}

/// The OpenAPI 3.1 document as JSON.
#[must_use]
pub fn document() -> String {
    let (_router, document) = rows().split_for_parts();
    document.to_pretty_json().expect("a document of plain values is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_every_operation_says_how_it_fails() {
        let document: serde_json::Value =
            serde_json::from_str(&document()).expect("the document is JSON");
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), 34, "{:?}", paths.keys());
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("operations") {
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                let problem = &operation["responses"]["default"]["content"];
                let open = ["/livez", "/metrics", "/openapi.json"].contains(&path.as_str());
                assert!(
                    open || problem["application/problem+json"].is_object(),
                    "{method} {path} does not say how it fails"
                );
            }
        }
    }
}
