//! What keys look like inside the TPM: the storage root key's template, and the sealed object's public part.

use super::fault::{Fault, Step, at};
use cryptfs::keys::tpm::{PcrBank, PcrMask};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    Digest, EccPoint, KeyedHashScheme, PcrSelectionList, PcrSlot, Public, PublicBuilder,
    PublicEccParametersBuilder, PublicKeyedHashParameters, SymmetricDefinitionObject,
};

/// Template 1: the storage root key that systemd makes, so that one in the TPM already serves both.
///
/// # Errors
///
/// As for [`at`]; the TPM is not asked, the TSS checks the parts only.
pub fn storage_root_key() -> Result<Public, Fault> {
    at(Step::Parent, build_storage_root_key())
}

fn build_storage_root_key() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    );
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// A sealed secret: only by policy, in this TPM under this parent, and without dictionary-attack protection only
/// where there is no PIN to guess.
///
/// # Errors
///
/// As for [`storage_root_key`].
pub fn sealed_object(policy: Digest, pin: bool) -> Result<Public, Fault> {
    at(Step::Seal, build_sealed_object(policy, pin))
}

fn build_sealed_object(policy: Digest, pin: bool) -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_admin_with_policy(true)
        .with_no_da(!pin)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

/// These PCRs, as the TPM is told of them.
///
/// # Errors
///
/// As for [`storage_root_key`].
pub fn pcr_selection(bank: PcrBank, pcrs: PcrMask) -> Result<PcrSelectionList, Fault> {
    let hash = match bank {
        PcrBank::Sha256 => HashingAlgorithm::Sha256,
    };
    let slots = pcrs.numbers().map(|number| PcrSlot::try_from(1 << number)).collect::<Result<Vec<_>, _>>();
    at(
        Step::Session,
        slots.and_then(|slots| PcrSelectionList::builder().with_selection(hash, &slots).build()),
    )
}
