// Port: randomness. Real: WebCrypto; simulated: a seeded generator.

export interface Random {
  /** `length` unpredictable bytes (in a simulation: reproducible ones). */
  bytes(length: number): Uint8Array<ArrayBuffer>
  /** Uniform in [0, 1). For jitter and choices, never for secrets. */
  float(): number
}
