//! Every message survives the pipe, and nothing but whole messages is taken.

use super::*;

fn fields() -> TpmSlotFields {
    TpmSlotFields {
        parent: 0x8100_0001,
        template: 1,
        srk_name: [3; 34],
        bank: PcrBank::Sha256,
        pcrs: PcrMask::SECURE_BOOT,
        policy_digest: [4; 32],
        pin: true,
        public: vec![5; TpmSlotFields::MAX_PUBLIC_LENGTH],
        private: vec![6; TpmSlotFields::MAX_PRIVATE_LENGTH],
    }
}

fn requests() -> Vec<Request> {
    let tcti = || Tcti::parse("device:/dev/tpmrm0").unwrap();
    let auth = || AuthValue::new(&[8; 32]);
    let mut secret = new_secret();
    secret.fill(7);
    vec![
        Request::Probe { tcti: tcti() },
        Request::Seal { tcti: tcti(), secret, bank: PcrBank::Sha256, pcrs: PcrMask::NONE, auth: None },
        Request::Unseal { tcti: tcti(), fields: fields(), auth: auth() },
    ]
}

fn errors() -> Vec<TpmError> {
    let lockout = Lockout { failed_tries: 1, max_tries: 31, interval_seconds: 600 };
    let tcti = || "/dev/tpmrm0".to_owned();
    vec![
        TpmError::NoDevice { tcti: tcti() },
        TpmError::NoPermission { tcti: tcti() },
        TpmError::Busy { tcti: tcti() },
        TpmError::OtherTpm,
        TpmError::OwnerPassword,
        TpmError::BootStateChanged { pcrs: PcrMask::SECURE_BOOT },
        TpmError::PcrsKeepChanging,
        TpmError::NoPcrBank,
        TpmError::WrongPin(lockout),
        TpmError::Locked(lockout),
        TpmError::Damaged,
        TpmError::OutOfSlots,
        TpmError::Gone,
        TpmError::Unexpected { code: 0x101 },
    ]
}

#[test]
fn requests_survive_and_cut_ones_do_not() {
    for request in requests() {
        let body = request.encode();
        let mut pipe = Vec::new();
        write_frame(&mut pipe, &body).unwrap();
        let read = read_frame(&mut &pipe[..]).unwrap();
        assert_eq!(*Request::decode(&read).unwrap().encode(), *body);
        for length in 0..body.len() {
            assert!(Request::decode(&body[..length]).is_err(), "cut at {length}");
        }
        let longer = [&body[..], &[0]].concat();
        assert!(Request::decode(&longer).is_err());
    }
}

#[test]
fn responses_survive() {
    let lockout = Lockout { failed_tries: 1, max_tries: 31, interval_seconds: 600 };
    let mut secret = new_secret();
    secret.fill(7);
    let mut responses = vec![
        Response::Present(TpmInfo { manufacturer: "IBM".into(), lockout }),
        Response::Sealed(fields()),
        Response::Unsealed(secret),
    ];
    responses.extend(errors().into_iter().map(Response::Failed));
    for response in responses {
        let body = response.encode();
        let decoded = Response::decode(&body).unwrap();
        assert_eq!(*decoded.encode(), *body);
        if let (Response::Failed(one), Response::Failed(other)) = (&response, &decoded) {
            assert_eq!(one, other);
        }
    }
}

#[test]
fn a_frame_is_bounded() {
    let pipe = (MAX_BODY as u32 + 1).to_le_bytes();
    assert_eq!(read_frame(&mut &pipe[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(write_frame(&mut Vec::new(), &[0; MAX_BODY + 1]).is_err());
}

#[test]
fn an_encoder_never_moves_its_memory() {
    let mut encoder = Encoder::new();
    let start = encoder.0.as_ptr();
    encoder.raw(&[1; MAX_BODY - 1]);
    assert_eq!(encoder.0.as_ptr(), start);
}

#[test]
fn other_versions_are_refused() {
    let mut body = requests()[0].encode();
    body[0] += 1;
    assert!(Request::decode(&body).is_err());
}
