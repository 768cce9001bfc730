//! The interface's OpenAPI document, made from the handlers and types that serve it, so that the two cannot differ.

use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{LicenseBuilder, OpenApi, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::types::problem::ErrorBody;

/// The document that `/v1/openapi.json` serves.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut api = crate::server::document();
    "ProxyFS control".clone_into(&mut api.info.title);
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    api.info.description = Some(
        "Manages the volumes of one ProxyFS daemon. On its Unix socket the peer's user is the proof; over TCP every request \
         needs the bearer token. Requests refuse unknown fields; answers may gain fields."
            .to_owned(),
    );
    api.info.contact = None;
    api.info.license = Some(LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).build());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = api.components.get_or_insert_default();
    components.security_schemes.insert("token".to_owned(), bearer.into());
    // Descriptions of answers that all routes share do not bring their schemas along.
    let mut shared = vec![("ErrorBody".to_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut shared);
    components.schemas.extend(shared);
    if let Some(RefOr::T(Schema::OneOf(kinds))) = components.schemas.get_mut("StoreCredentials") {
        kinds.items.iter_mut().for_each(refuse_unknown);
    }
    api.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    api
}

/// Says of a variant what it says of itself in code, where the derived schema does not.
fn refuse_unknown(variant: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = variant {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_path_and_names_no_dangling_schema() {
        let json = openapi().to_json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let operations: usize =
            value["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(operations, 40);
        for part in json.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(value["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn every_request_type_refuses_unknown_fields_in_the_document_too() {
        let value = serde_json::to_value(openapi()).unwrap();
        for name in
            ["CreateVolume", "EditVolume", "EditCaches", "EditLimits", "TakeOver", "TestConnection", "TestCredentials"]
        {
            assert_eq!(value["components"]["schemas"][name]["additionalProperties"], false, "{name}");
        }
    }
}
