//! Passwords are kept as SHA-256 digests, written as 64 lower-case hexadecimal digits.

use sha2::{Digest, Sha256};

const HASH_DIGITS: usize = 64;

/// The digest of a password, in hexadecimal.
pub fn hash(password: &[u8]) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether this is what [`hash`] could have given.
pub fn is_hash(text: &[u8]) -> bool {
    text.len() == HASH_DIGITS && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Compares digests without telling by its duration where they differ.
pub fn same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |found, (left, right)| found | (left ^ right));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let known = "34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6";
        assert_eq!(hash(b"passwd4"), known);
        assert!(is_hash(known.as_bytes()) && !is_hash(&known.as_bytes()[1..]));
        assert!(!is_hash(known.to_uppercase().as_bytes()));
        assert!(same(known, &hash(b"passwd4")) && !same(known, &hash(b"passwd5")) && !same(known, ""));
    }
}
