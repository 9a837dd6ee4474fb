//! Values of the broker's settings.

use std::fmt;
use std::str::FromStr;

use super::{TextSetting, Unfit};

text! {
    /// Where a broker's store is: `sqlite:` and a path, or `postgres://…` without a password. A user may write one all the
    /// same.
    StoreAddress,
    "`sqlite:` and a path, or `postgres://user@host/database` without a password (that is for store_password_file)",
    |text| {
        let is_file = text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty());
        let of_server = text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://"));
        let has_password = |rest: &str| {
            let user = rest.split_once('@').map_or("", |(user, _)| user);
            user.contains(':') || rest.contains("password=")
        };
        let is_server = of_server.is_some_and(|rest| !rest.is_empty() && !has_password(rest));
        (is_file || is_server).then(|| text.to_owned())
    },
    MAY_HOLD_SECRET
}
