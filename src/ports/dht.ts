// Port: the distributed hash table that kernel/directory stands on. Real: @libp2p/kad-dht; simulated: memory.
// Values are opaque here; the rules decide which are valid and which of several is the newest.

export interface DhtRules {
  /** Rejects for a value that must not be stored or returned. Called for every value from the network. */
  validate(key: string, value: Uint8Array): Promise<void>
  /** Index of the best of `values` (at least one). */
  select(key: string, values: readonly Uint8Array[]): number
}

export interface Dht {
  /** Set once, before the network starts. */
  setRules(rules: DhtRules): void
  /**
   * Stores at the nodes nearest to the key.
   * @param key `/namespace/…`
   * @returns how many other nodes confirmed; 0 when alone (the value is kept here all the same).
   */
  put(key: string, value: Uint8Array, options: { signal: AbortSignal }): Promise<number>
  /** Yields each distinct valid value as soon as it arrives; ends when the query does. */
  get(key: string, options: { signal: AbortSignal }): AsyncIterable<Uint8Array>
}
