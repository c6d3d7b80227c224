// In the page this takes the place of libp2p's code for RSA, ECDSA and secp256k1 keys (vite.config.ts): nodes have
// Ed25519 keys, ids of other kinds are refused before their keys are looked at (identity.ts), and what is not loaded
// cannot be attacked.
import { OsError } from '../../base/errors.ts'

function refuse(): never {
  throw new OsError('EPROTO', 'nodes have Ed25519 keys: this is a key of another kind')
}

export {
  refuse as generateECDSAKeyPair,
  refuse as generateRSAKeyPair,
  refuse as generateSecp256k1KeyPair,
  refuse as jwkToRSAPrivateKey,
  refuse as pkcs1MessageToRSAPrivateKey,
  refuse as pkcs1ToRSAPrivateKey,
  refuse as pkiMessageToECDSAPrivateKey,
  refuse as pkiMessageToECDSAPublicKey,
  refuse as pkixMessageToRSAPublicKey,
  refuse as pkixToRSAPublicKey,
  refuse as unmarshalECDSAPrivateKey,
  refuse as unmarshalECDSAPublicKey,
  refuse as unmarshalSecp256k1PrivateKey,
  refuse as unmarshalSecp256k1PublicKey,
}
