/** What we use of libraries that bring no types along: codecs compiled to WebAssembly, and one in plain JavaScript. */

declare module '@cornerstonejs/codec-*/decodewasmjs' {
  export interface FrameDecoder {
    /** Memory for so many bytes of the stream. */
    getEncodedBuffer(length: number): Uint8Array
    decode(): void
    /** A view of the library's memory: good until it is used again. */
    getDecodedBuffer(): Uint8Array
    delete(): void
  }
  export interface Codecs {
    readonly J2KDecoder: new () => FrameDecoder
    readonly JpegLSDecoder: new () => FrameDecoder
    readonly JPEGDecoder: new () => FrameDecoder
    /** What a thrown number means. */
    readonly getExceptionMessage?: (thrown: unknown) => string | readonly string[]
  }
  export interface CodecOptions {
    readonly print: (line: string) => void
    readonly printErr: (line: string) => void
  }
  const create: (options: CodecOptions) => Promise<Codecs>
  export default create
}

declare module 'jpeg-lossless-decoder-js' {
  /** Decodes one image and is of no further use. */
  class Decoder {
    /** Voxels of one byte or two; throws at the end of the buffer. */
    decode(buffer: ArrayBuffer, offset: number, length: number, bytesPerVoxel: number): Uint8Array | Uint16Array | null
  }
  const lossless: { readonly Decoder: typeof Decoder }
  export default lossless
}
