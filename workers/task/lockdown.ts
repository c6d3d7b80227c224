// Takes everything from the worker's global that a program has no use for: an allow-list, so that what browsers
// add tomorrow is gone as well. The frame's CSP refuses the same things a second time (adapters/sandbox/frame.ts).

/** What the language itself defines, and the parts of the platform that only compute. */
const ALLOWED = new Set(
  `Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp
  Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError JSON Math
  Intl ArrayBuffer Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array BigUint64Array
  BigInt64Array Uint8ClampedArray Float16Array Float32Array Float64Array DataView Map BigInt Set Iterator WeakMap
  WeakSet WeakRef FinalizationRegistry Proxy Reflect Temporal decodeURI decodeURIComponent encodeURI
  encodeURIComponent escape unescape eval isFinite isNaN globalThis self AsyncDisposableStack DisposableStack
  WebAssembly
  console performance Performance crypto Crypto CryptoKey SubtleCrypto TextEncoder TextDecoder TextEncoderStream
  TextDecoderStream structuredClone queueMicrotask setTimeout clearTimeout setInterval clearInterval reportError
  atob btoa AbortController AbortSignal Event EventTarget CustomEvent ErrorEvent PromiseRejectionEvent MessageEvent
  MessageChannel MessagePort DOMException URL URLSearchParams Blob ReadableStream ReadableStreamBYOBReader
  ReadableStreamDefaultReader ReadableStreamDefaultController ReadableByteStreamController ReadableStreamBYOBRequest
  WritableStream WritableStreamDefaultWriter WritableStreamDefaultController TransformStream
  TransformStreamDefaultController ByteLengthQueuingStrategy CountQueuingStrategy CompressionStream
  DecompressionStream
  constructor addEventListener removeEventListener dispatchEvent when`.split(/\s+/),
)

/** @returns names that could neither be removed nor hidden: empty in every browser that is supported. */
export function lockDown(): string[] {
  const left: string[] = []
  for (
    let object: object | null = globalThis;
    object && object !== Object.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const name of Object.getOwnPropertyNames(object)) {
      if (!ALLOWED.has(name) && !removed(object, name)) left.push(name)
    }
  }
  return left
}

function removed(object: object, name: string): boolean {
  if (Reflect.deleteProperty(object, name)) return true
  if (Reflect.defineProperty(object, name, { value: undefined, writable: false, configurable: false })) return true
  const value: unknown = Reflect.getOwnPropertyDescriptor(object, name)?.value
  return typeof value === 'number' // a constant, e.g. TEMPORARY and PERSISTENT in Chromium
}
