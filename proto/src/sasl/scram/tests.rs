//! The vectors of the RFC, whole exchanges, and what is refused.
//!
//! Floor 1 of proto; compiled for its tests only.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::sasl::{Credential, ScramHash, Secret};

// The vectors of RFC 7677.
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// Made once: a password takes long to hash without optimisation.
fn pencil() -> Credential {
    static PENCIL: LazyLock<Credential> = LazyLock::new(|| {
        let salt = STANDARD.decode(SALT).unwrap();
        Credential::of_password(ScramHash::Sha256, "pencil", salt, 4096)
    });
    PENCIL.clone()
}

fn waiting() -> ServerWaiting {
    let begun = ServerBegun::take(CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
    assert_eq!(begun.user(), "user");
    let (challenge, waiting) = begun.challenge(pencil());
    assert_eq!(String::from_utf8(challenge).unwrap(), SERVER_FIRST);
    waiting
}

fn begun() -> ClientBegun {
    let (first, begun) =
        ClientBegun::begin(ScramHash::Sha256, "user", "pencil", CLIENT_NONCE).unwrap();
    assert_eq!(first, CLIENT_FIRST.as_bytes());
    begun
}

#[test]
fn the_keys_of_rfc_7677() {
    let credential = pencil();
    let encoded = |secret: &Secret| STANDARD.encode(&secret.0);
    assert_eq!(
        encoded(&credential.stored_key),
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    );
    assert_eq!(
        encoded(&credential.server_key),
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
    assert!(check_password(&credential, "pencil"));
    assert!(!check_password(&credential, "pencil "));
}

#[test]
fn the_exchange_of_rfc_7677() {
    let (last, finishing) = begun().prove(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(last).unwrap(), CLIENT_FINAL);
    let done = waiting().finish(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(done).unwrap(), SERVER_FINAL);
    finishing.verify(SERVER_FINAL.as_bytes()).unwrap();
}

/// The client's last message with this nonce, and a proof that is right for it.
fn final_with(nonce: &str) -> String {
    let salt = STANDARD.decode(SALT).unwrap();
    let salted = salted_password(ScramHash::Sha256, "pencil", &salt, 4096);
    let client_key = keys::hmac(ScramHash::Sha256, &salted.0, &[keys::CLIENT_KEY]);
    let without_proof = format!("c=biws,r={nonce}");
    let said = format!("{},{SERVER_FIRST},{without_proof}", &CLIENT_FIRST[3..]);
    let stored_key = &pencil().stored_key.0;
    let signature = keys::hmac(ScramHash::Sha256, stored_key, &[said.as_bytes()]);
    let proof = STANDARD.encode(keys::xor(&client_key, &signature));
    format!("{without_proof},p={proof}")
}

/// As Kafka takes it up to 3.9: Debian's kcat stands on such a version.
#[test]
fn the_nonce_of_librdkafka_before_2_6_1_is_taken() {
    let last = final_with(&format!("{CLIENT_NONCE}{CLIENT_NONCE}{SERVER_NONCE}"));
    waiting().finish(last.as_bytes()).unwrap();
}

/// Kafka's broker compared the nonce of client-final with nothing until 3.7.2, 3.8.1 and 3.9.0.
#[test]
fn cve_2024_56128_the_nonce_of_client_final_is_verified() {
    // A proof that is right for the nonce that it names, which is one of another exchange.
    let combined = format!("{CLIENT_NONCE}{SERVER_NONCE}");
    for nonce in [
        &format!("x{combined}"),
        &format!("{combined}x"),
        &format!("{CLIENT_NONCE}{CLIENT_NONCE}{combined}"),
        "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k1",
        CLIENT_NONCE,
        SERVER_NONCE,
        "",
    ] {
        let last = final_with(nonce);
        let error = waiting().finish(last.as_bytes()).unwrap_err();
        assert_eq!(
            error,
            ScramError::Nonce {
                message: "client-final"
            }
        );
    }
}

#[test]
fn a_wrong_password_gives_a_wrong_proof_with_both_hashes() {
    for hash in ScramHash::ALL {
        let credential = Credential::of_password(hash, "right", b"salt".to_vec(), 4096);
        for (password, expected) in [("right", Ok(())), ("wrong", Err(ScramError::WrongProof))] {
            let (first, client) = ClientBegun::begin(hash, "u", password, "abc").unwrap();
            let server = ServerBegun::take(&first, "def").unwrap();
            let (challenge, server) = server.challenge(credential.clone());
            let (last, client) = client.prove(&challenge).unwrap();
            let outcome = server.finish(&last);
            assert_eq!(outcome.as_ref().map(drop).map_err(Clone::clone), expected);
            if let Ok(last) = outcome {
                client.verify(&last).unwrap();
            }
        }
    }
}

#[test]
fn a_client_refuses_a_server_that_does_not_know_the_password() {
    let (_, finishing) = begun().prove(SERVER_FIRST.as_bytes()).unwrap();
    let forged = format!("v={}", STANDARD.encode([7; 32]));
    let error = finishing.verify(forged.as_bytes()).unwrap_err();
    assert_eq!(error, ScramError::WrongSignature);
    let (_, finishing) = begun().prove(SERVER_FIRST.as_bytes()).unwrap();
    let error = finishing.verify(b"e=other-error").unwrap_err();
    assert_eq!(error, ScramError::Refused("other-error".to_owned()));
}

#[test]
fn a_client_refuses_a_server_first_that_weakens_the_exchange() {
    let refused = |text: &str| begun().prove(text.as_bytes()).unwrap_err();
    let nonce = "rOprNGfwEbeRWgbNEkqOmore";
    for iterations in ["1", "4095", "100001", "99999999999"] {
        let text = format!("r={nonce},s={SALT},i={iterations}");
        let error = refused(&text);
        assert!(matches!(error, ScramError::Iterations(_)), "{error}");
    }
    for other in ["other", CLIENT_NONCE] {
        let error = refused(&format!("r={other},s={SALT},i=4096"));
        assert!(matches!(error, ScramError::Nonce { .. }), "{error}");
    }
    for text in [
        String::new(),
        format!("r={nonce}"),
        format!("r={nonce},s=,i=4096"),
        format!("r={nonce},s=!,i=4096"),
        format!("s={SALT},r={nonce},i=4096"),
        format!("r={nonce},s={SALT},i=many"),
        format!("r={nonce},s={},i=4096", STANDARD.encode([1; 129])),
        format!("r={nonce}{},s={SALT},i=4096", "x".repeat(1024)),
    ] {
        let error = refused(&text);
        assert!(matches!(error, ScramError::Malformed { .. }), "{error}");
    }
    assert!(matches!(refused("e=no"), ScramError::Refused(_)));
}

#[test]
fn names_are_escaped_and_nothing_else_is() {
    for (name, written) in [
        ("a,b=c", "a=2Cb=3Dc"),
        ("=2C", "=3D2C"),
        ("j\u{f6}rg", "j\u{f6}rg"),
    ] {
        let (first, _) = ClientBegun::begin(ScramHash::Sha256, name, "p", "nonce").unwrap();
        let expected = format!("n,,n={written},r=nonce");
        assert_eq!(String::from_utf8(first.clone()).unwrap(), expected);
        assert_eq!(ServerBegun::take(&first, "n").unwrap().user(), name);
    }
}

#[test]
fn a_client_first_that_is_none_is_refused() {
    let refused = |text: &str| ServerBegun::take(text.as_bytes(), "n").unwrap_err();
    for text in [
        "",
        "n",
        "n,",
        "n,,",
        "x,,n=u,r=a",
        "n,,r=a,n=u",
        "n,,n=,r=a",
        "n,,n=u",
        "n,,n=u,r=",
        "n,,n=u=,r=a",
        "n,,n=u=2c,r=a",
        "n,,n=u=41,r=a",
        "n,,n=u,r=a b",
        "n,,m=x,n=u,r=a",
        "n,,n=u,r=a,m=x",
        "n,b=u,n=u,r=a",
        "n,,n=u\0,r=a",
        &format!("n,,n={},r=a", "u".repeat(256)),
        &format!("n,,n=u,r={}", "a".repeat(513)),
        &format!("n,,n=u,r=a,x={}", "a".repeat(MESSAGE_BYTES_MAX)),
    ] {
        let error = refused(text);
        assert!(matches!(error, ScramError::Malformed { .. }), "{text:?}");
    }
    assert_eq!(refused("p=tls-unique,,n=u,r=a"), ScramError::ChannelBinding);
    assert_eq!(refused("n,a=v,n=u,r=a"), ScramError::OtherAuthorization);
    for text in ["y,,n=u,r=a", "n,a=u,n=u,r=a", "n,,n=u,r=a,tokenauth=true"] {
        assert_eq!(ServerBegun::take(text.as_bytes(), "n").unwrap().user(), "u");
    }
    assert!(ServerBegun::take(b"\xff", "n").is_err());
}

#[test]
fn a_client_final_that_is_none_is_refused() {
    let nonce = format!("{CLIENT_NONCE}{SERVER_NONCE}");
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    for text in [
        String::new(),
        format!("c=biws,r={nonce}"),
        format!("r={nonce},c=biws,p={proof}"),
        format!("c=eSws,r={nonce},p={proof}"),
        format!("c=!,r={nonce},p={proof}"),
        format!("c=biws,r={nonce},p=!"),
        format!("c=biws,r={nonce},m=x,p={proof}"),
    ] {
        let error = waiting().finish(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ScramError::Malformed { .. }), "{text}");
    }
    for proof in ["", "AAAA", &STANDARD.encode([0; 32])] {
        let text = format!("c=biws,r={nonce},p={proof}");
        let error = waiting().finish(text.as_bytes()).unwrap_err();
        assert_eq!(error, ScramError::WrongProof);
    }
}

#[test]
fn a_user_that_does_not_exist_has_a_credential_that_looks_real_and_stays() {
    let secret = Secret(vec![7; 32]);
    for hash in ScramHash::ALL {
        let fake = |secret: &Secret, user| fake_credential(hash, secret, user, 4096);
        let credential = fake(&secret, "nobody");
        assert_eq!(credential, fake(&secret, "nobody"));
        assert_ne!(credential.salt, fake(&secret, "nobody2").salt);
        assert_ne!(credential.salt, fake(&Secret(vec![8; 32]), "nobody").salt);
        assert_eq!(credential.stored_key.0.len(), hash.key_bytes());
        assert!(!check_password(&credential, ""));
        let is_digit = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        assert!(credential.salt.iter().all(is_digit), "{credential:?}");
    }
}

#[test]
fn a_salt_is_a_number_of_130_bits_to_the_base_36() {
    let of = |bits| String::from_utf8(random_salt(bits)).unwrap();
    let mut bits = [0; 17];
    bits[16] = 35;
    assert_eq!(of(bits), "z");
    bits[15] = 1;
    assert_eq!(of(bits), "83");
    // 2^130 - 1, by `BigInteger.toString(36)`.
    assert_eq!(of([0xff; 17]), "1omfro7zwmumr3umxudzyj6scf");
    assert_eq!(of([0xff; 17]).len(), 26);
}

#[test]
fn nothing_secret_is_printed() {
    let (first, client) = ClientBegun::begin(ScramHash::Sha256, "user", "pencil", "abc").unwrap();
    let (challenge, server) = ServerBegun::take(&first, "d").unwrap().challenge(pencil());
    let printed = format!("{client:?} {server:?}");
    let (_, finishing) = client.prove(&challenge).unwrap();
    let printed = format!("{printed} {finishing:?}");
    assert!(!printed.contains("pencil") && !printed.contains("StoredKey"));
    // 88 is the first byte of the stored key, 112 of the password.
    assert!(
        !printed.contains("88") && !printed.contains("112, "),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn any_bytes_end_an_exchange_or_go_on_with_it(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = ServerBegun::take(&bytes, "n");
        prop_assert!(waiting().finish(&bytes).is_err());
        prop_assert!(begun().prove(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_never_proves_a_password(at: prop::sample::Index, to in any::<u8>()) {
        let mut last = CLIENT_FINAL.as_bytes().to_vec();
        let at = at.index(last.len());
        prop_assume!(last[at] != to);
        last[at] = to;
        prop_assert!(waiting().finish(&last).is_err());
    }
}
