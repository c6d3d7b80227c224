// An EventTarget that also supports the `onX` style: libp2p uses both on one object, and reads handlers back.

// biome-ignore lint/suspicious/noExplicitAny: the event's type depends on its name; subclasses declare it
export type Handler = ((event: any) => void) | null

export class HandlerTarget extends EventTarget {
  readonly #handlers = new Map<string, Handler>()

  protected getHandler(type: string): Handler {
    return this.#handlers.get(type) ?? null
  }

  /** As in browsers: a handler keeps the place among the listeners that it got when first set. */
  protected setHandler(type: string, handler: Handler): void {
    if (!this.#handlers.has(type)) this.addEventListener(type, (event) => this.#handlers.get(type)?.call(this, event))
    this.#handlers.set(type, handler)
  }
}
