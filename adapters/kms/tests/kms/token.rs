//! Keys in a token of PKCS#11.

use std::sync::Arc;

use adapter_kms::{Pkcs11Keys, Pkcs11Settings};
use domain::broker::ports::{KeyWrap, Wrapped};
use domain::ports::PortErrorKind;
use secrecy::ExposeSecret;

use crate::softhsm::{PIN, Token, with_token};
use crate::{Counting, data_key};

fn keys(settings: Pkcs11Settings) -> Pkcs11Keys {
    Pkcs11Keys::new(settings, Arc::new(Counting::default())).unwrap()
}

#[tokio::test]
async fn a_token_wraps_data_keys_and_a_session_that_is_lost_begins_anew() {
    let name = "token::a_token_wraps_data_keys_and_a_session_that_is_lost_begins_anew";
    let Some(token) = with_token(name) else {
        return;
    };
    token.make_key("first");
    token.make_key("second");
    let first = keys(token.settings("first"));
    let wrapped = first.wrap(&data_key(1)).await.unwrap();
    assert_eq!(wrapped.key, "pkcs11:first");
    assert_eq!(wrapped.key, first.current().await.unwrap());
    assert!(!wrapped.bytes.windows(8).any(|eight| eight == [1; 8]));
    let again = first.wrap(&data_key(1)).await.unwrap();
    assert_ne!(again.bytes, wrapped.bytes, "each has a nonce of its own");
    let opens = async |keys: &Pkcs11Keys, wrapped: &Wrapped| {
        let opened = keys.unwrap(wrapped).await?;
        Ok::<_, domain::ports::PortError>(opened.expose_secret().to_vec())
    };
    assert_eq!(opens(&first, &wrapped).await, Ok(vec![1; 32]));

    let with = |key: &str, bytes: Vec<u8>| Wrapped {
        key: key.to_owned(),
        bytes,
    };
    let mut changed = wrapped.bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for refused in [
        with("pkcs11:first", changed),
        with("pkcs11:first", vec![0; 5]),
        with("pkcs11:second", wrapped.bytes.clone()),
        with("pkcs11:none", wrapped.bytes.clone()),
    ] {
        let error = first.unwrap(&refused).await.unwrap_err();
        assert!(!error.message.contains(PIN), "{error}");
        // SoftHSM has one word for many failures, so that it may mean that another attempt helps.
        let kind = error.kind;
        assert!(
            matches!(
                kind,
                PortErrorKind::Credentials | PortErrorKind::Unavailable
            ),
            "{error}"
        );
    }
    assert_eq!(opens(&first, &wrapped).await, Ok(vec![1; 32]));
    // One that seals with a newer key opens what the older one sealed.
    let second = keys(token.settings("second"));
    assert_eq!(opens(&second, &wrapped).await, Ok(vec![1; 32]));

    for lose in [Token::log_out, Token::end_module] {
        lose(&token);
        assert_eq!(opens(&first, &wrapped).await, Ok(vec![1; 32]));
        lose(&token);
        assert!(first.wrap(&data_key(2)).await.is_ok());
    }
    token.take_out(true);
    token.end_module();
    let away = first.unwrap(&wrapped).await.unwrap_err();
    assert_eq!(away.kind, PortErrorKind::Unavailable, "{away}");
    assert!(!away.message.contains("softhsm"), "{away}");
    token.take_out(false);
    assert_eq!(opens(&first, &wrapped).await, Ok(vec![1; 32]));

    let pin = token.folder.join("pin");
    std::fs::write(&pin, "wrong-pin").unwrap();
    assert_eq!(
        opens(&first, &wrapped).await,
        Ok(vec![1; 32]),
        "the session is there"
    );
    token.end_module();
    for _ in 0..2 {
        let refused = first.unwrap(&wrapped).await.unwrap_err();
        assert_eq!(refused.kind, PortErrorKind::Credentials, "{refused}");
        assert!(!refused.message.contains("wrong-pin"), "{refused}");
    }
    std::fs::write(&pin, PIN).unwrap();
    assert_eq!(opens(&first, &wrapped).await, Ok(vec![1; 32]));
}

#[test]
fn a_module_that_is_none_is_told_at_once() {
    let settings = Pkcs11Settings {
        module: "/nowhere/module.so".into(),
        token: "broker".to_owned(),
        key: "first".to_owned(),
        pin_file: "/nowhere/pin".into(),
    };
    let refused = Pkcs11Keys::new(settings, Arc::new(Counting::default())).err();
    assert!(refused.is_some_and(|reason| reason.contains("/nowhere/module.so")));
}
