//! Passwords (argon2id, RFC 9106) and one-time codes (TOTP, RFC 6238, in the form that all authenticators have: SHA-1, six digits,
//! 30 seconds).

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use domain::broker::PersonName;
use domain::broker::ports::PasswordHash;
use domain::ports::Entropy;
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Algorithm, Builder, Secret, Totp};

/// Characters of a password, at least and at most.
pub const PASSWORD: std::ops::RangeInclusive<usize> = 12..=256;

/// Seconds of a step of one-time codes.
const STEP: u64 = 30;

/// Why a password cannot be one. No message repeats it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password must have {} to {} characters; choose another one", PASSWORD.start(), PASSWORD.end())]
pub struct PasswordError;

/// The hash of a new password.
pub fn hash(password: &SecretString, entropy: &dyn Entropy) -> Result<PasswordHash, PasswordError> {
    let text = password.expose_secret();
    if !PASSWORD.contains(&text.chars().count()) {
        return Err(PasswordError);
    }
    let salt = entropy.secret();
    let hash = Argon2::default().hash_password_with_salt(text.as_bytes(), &salt[..16]);
    Ok(PasswordHash(hash.map_err(|_| PasswordError)?.to_string()))
}

/// Whether a password is the one of a hash. Takes a few hundredths of a second and 19 MiB.
pub(super) fn is_of(password: &SecretString, hash: &PasswordHash) -> bool {
    let Ok(hash) = argon2::password_hash::phc::PasswordHash::new(&hash.0) else {
        return false;
    };
    let verified = Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash);
    verified.is_ok()
}

/// What one-time codes come from, anew: 20 bytes in base32.
pub fn new_codes(entropy: &dyn Entropy) -> SecretString {
    let bytes = entropy.secret();
    SecretString::from(Secret::from(bytes[..20].to_vec()).to_base32())
}

/// The address that an authenticator reads codes from, mostly as a picture (`otpauth://totp/…`).
pub fn address(person: &PersonName, codes: &SecretString) -> Option<SecretString> {
    let totp = totp(person, codes)?;
    totp.to_url().ok().map(SecretString::from)
}

/// The time step of a code, if it is good now or was in the step before or will be in the next one.
pub(super) fn step_of(
    person: &PersonName,
    codes: &SecretString,
    code: &SecretString,
    now: u64,
) -> Option<u64> {
    totp(person, codes)?.check(code.expose_secret(), now)
}

/// The code of a moment, as an authenticator shows it.
pub fn code_at(person: &PersonName, codes: &SecretString, now: u64) -> Option<String> {
    Some(totp(person, codes)?.generate(now).to_string())
}

fn totp(person: &PersonName, codes: &SecretString) -> Option<Totp> {
    let secret = Secret::try_from_base32(codes.expose_secret()).ok()?;
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(STEP)
        .with_secret(secret)
        .with_account_name(person.as_str())
        .with_issuer(Some("cfgw"));
    totp.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Entropy for Fixed {
        fn secret(&self) -> [u8; 32] {
            *b"12345678901234567890............"
        }
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn ada() -> PersonName {
        PersonName::parse("ada").unwrap()
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_one_is() {
        let own = secret("correct horse battery");
        let hash = hash(&own, &Fixed).unwrap();
        assert!(hash.0.starts_with("$argon2id$"), "{hash:?}");
        assert!(is_of(&own, &hash));
        assert!(!is_of(&secret("correct horse battery "), &hash));
        assert!(!is_of(&own, &PasswordHash("none".to_owned())));
    }

    #[test]
    fn a_password_is_neither_short_nor_without_end() {
        for (length, good) in [(11, false), (12, true), (256, true), (257, false)] {
            let found = hash(&secret(&"é".repeat(length)), &Fixed).is_ok();
            assert_eq!(found, good, "{length} characters");
        }
    }

    #[test]
    fn codes_are_those_of_rfc_6238_and_good_in_three_steps() {
        let codes = new_codes(&Fixed);
        // The last six of the eight digits of RFC 6238, appendix B.
        assert_eq!(code_at(&ada(), &codes, 59).as_deref(), Some("287082"));
        for (now, step) in [(0, Some(1)), (30, Some(1)), (89, Some(1)), (90, None)] {
            let found = step_of(&ada(), &codes, &secret("287082"), now);
            assert_eq!(found, step, "at {now}");
        }
        assert_eq!(step_of(&ada(), &codes, &secret("28708"), 59), None);
    }

    #[test]
    fn an_authenticator_reads_the_address() {
        let address = address(&ada(), &new_codes(&Fixed)).unwrap();
        let text = address.expose_secret();
        assert!(
            text.starts_with("otpauth://totp/cfgw:ada?secret=GEZDGNBV"),
            "{text}"
        );
    }
}
