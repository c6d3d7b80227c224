// In a real browser, because its Blobs are.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { download } from './host.ts'

afterEach(() => vi.restoreAllMocks())

async function* pieces(count: number) {
  for (let i = 0; i < count; i++) yield new Uint8Array(4 * 1024 * 1024)
}

describe('a download', () => {
  it('is handed to the browser whole', async () => {
    const whole: Blob[] = []
    vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => undefined)
    const url = URL.createObjectURL.bind(URL)
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => {
      whole.push(blob as Blob)
      return url(blob)
    })
    await download('x', pieces(3))
    expect(await whole[0]?.arrayBuffer()).toHaveProperty('byteLength', 12 * 1024 * 1024)
  })

  it('for which the browser has no room fails, and nothing is handed to it', async () => {
    const click = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => undefined)
    // As Chromium does with each Blob beyond the first few hundred MiB of an origin.
    const read = Blob.prototype.arrayBuffer
    let made = 0
    vi.spyOn(Blob.prototype, 'arrayBuffer').mockImplementation(function (this: Blob) {
      return ++made > 2 ? Promise.reject(new DOMException('no', 'NotReadableError')) : read.call(this)
    })
    await expect(download('x', pieces(4))).rejects.toThrow('no room for so large a download')
    expect(click).not.toHaveBeenCalled()
  })
})
