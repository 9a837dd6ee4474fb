//! What the settings say of requests, as the router and the routes' statuses need it.

use adapter_proxy::Limits;
use config::sections::RequestSettings;
use config::values::UnderscoredHeaders as Setting;
use domain::gateway::UnderscoredHeaders;

pub(crate) fn underscored_headers(settings: &RequestSettings) -> UnderscoredHeaders {
    match settings.headers_with_underscores {
        Setting::Drop => UnderscoredHeaders::Drop,
        Setting::Allow => UnderscoredHeaders::Allow,
    }
}

pub(crate) fn limits(settings: &RequestSettings) -> Limits {
    Limits {
        underscored_headers: underscored_headers(settings),
        ..Limits::default()
    }
}
