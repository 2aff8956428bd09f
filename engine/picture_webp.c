/* picture_webp.c -- WebP by libwebp: lossy, lossless, with alpha, animated.
 *
 * The demuxer checks the whole container and finds the first frame, also of a picture that has only one. Of
 * an animation (stickers move) only that frame is decoded, onto the place in a transparent canvas where it
 * belongs: what a player shows first. Frames are bounded because each costs the demuxer a little memory.
 */
#include "engine/picture_parts.h"

#include <webp/decode.h>
#include <webp/demux.h>

enum { MAX_FRAMES = 10000 };

static int orientation(const WebPDemuxer *file)
{
    WebPChunkIterator chunk;
    int found = 1;
    if (WebPDemuxGetChunk(file, "EXIF", 1, &chunk))
        found = wm_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return found;
}

static enum wm_status decode(const char *name, const WebPIterator *frame, uint64_t width, uint64_t height,
                             struct wm_pixels *out, struct wm_error *err)
{
    WebPDecoderConfig config;
    bool whole = (uint64_t)frame->width == width && (uint64_t)frame->height == height;
    int channels = whole && !frame->has_alpha ? 3 : 4;
    enum wm_status st = wm_pixels_new(name, width, height, channels, out, err);
    if (st != WM_OK)
        return st;
    if (!WebPInitDecoderConfig(&config))
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: the installed libwebp is not the one this program was built for", name);
    size_t stride = (size_t)width * (size_t)channels,
           skipped = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * (size_t)channels;
    config.output.colorspace = channels == 3 ? MODE_RGB : MODE_RGBA;
    config.output.is_external_memory = 1;
    config.output.u.RGBA =
        (WebPRGBABuffer){out->rgb + skipped, (int)stride, stride * (size_t)height - skipped};
    VP8StatusCode code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to decode this picture", name);
    if (code != VP8_STATUS_OK)
        return wm_fail(err, WM_EFORMAT,
                       "%s is a damaged WebP picture: its pixels cannot be decoded (libwebp says %d)", name,
                       (int)code);
    if (channels == 4)
        wm_pixels_over_white(out->rgb, (size_t)(width * height));
    return WM_OK;
}

enum wm_status wm_webp_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                            struct wm_error *err)
{
    WebPIterator frame = {0};
    WebPDemuxer *file = WebPDemux(&(WebPData){bytes, len});
    if (!file)
        return wm_fail(err, WM_EFORMAT, "%s is a WebP picture that is damaged or was cut short", name);
    enum wm_status st;
    uint32_t frames = WebPDemuxGetI(file, WEBP_FF_FRAME_COUNT);
    if (frames > MAX_FRAMES)
        st = wm_fail(err, WM_ELIMIT, "%s is an animation of %u frames, more than %d: send one picture", name,
                     (unsigned)frames, MAX_FRAMES);
    else if (!WebPDemuxGetFrame(file, 1, &frame))
        st = wm_fail(err, WM_EFORMAT, "%s is a WebP file without a picture", name);
    else
        st = decode(name, &frame, WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH),
                    WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT), out, err);
    out->orientation = orientation(file);
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(file);
    return st;
}
