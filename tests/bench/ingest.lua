-- ingest.lua -- what wrk sends in tests/bench/ingest: WhatsApp webhooks, each with its own id and its own signature.
--
-- Arguments after "--": secret, account, kind (status or message), bytes of a body, requests a second (0: as fast as
-- answers come), a word that makes the ids of this run its own.
local ffi = require("ffi")
ffi.cdef [[
  const void *EVP_sha256(void);
  unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *d, size_t n,
                      unsigned char *out, unsigned int *len);
  struct wm_time { long sec; long nsec; };
  int clock_gettime(int clock, struct wm_time *t);
]]
local crypto = ffi.load("crypto.so.3")
local sha256, sum, length = crypto.EVP_sha256(), ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local hex = {}
for i = 0, 255 do hex[i] = string.format("%02x", i) end

local function hmac(key, text)
  crypto.HMAC(sha256, key, #key, text, #text, sum, length)
  local out = {}
  for i = 0, 31 do out[i + 1] = hex[sum[i]] end
  return table.concat(out)
end

local head = [[{"object":"whatsapp_business_account","entry":[{"id":"200000000000002","changes":[{"value":{]]
  .. [["messaging_product":"whatsapp","metadata":{"display_phone_number":"15550001111","phone_number_id":"%s"},]]
local bodies = {
  -- What a business gets most of: for each message that it sends, "sent", "delivered" and "read".
  status = head .. [["statuses":[{"id":"wamid.%s","status":"delivered","timestamp":"%d","recipient_id":"1555%07d",]]
    .. [["conversation":{"id":"c0ffee","origin":{"type":"service"}},"pricing":{"billable":true,"pricing_model":"PMP",]]
    .. [["category":"service","type":"regular"},"biz_opaque_callback_data":"%s"}]},"field":"messages"}]}]}]],
  message = head .. [["messages":[{"id":"wamid.%s","timestamp":"%d","from":"1555%07d","type":"text","text":]]
    .. [[{"body":"%s"}}]},"field":"messages"}]}]}]],
}

local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local now = ffi.new("struct wm_time")
local function seconds()
  ffi.C.clock_gettime(1, now)
  return tonumber(now.sec) + tonumber(now.nsec) / 1e9
end

local secret, account, template, padding, rate, word, count, began
function init(args)
  secret, account, template, rate = args[1], args[2], bodies[args[3]], tonumber(args[5])
  word = string.format("%s-%d-", args[6], number)
  local bare = #template:format(account, word .. "00000000", os.time(), 0, "")
  padding = string.rep("p", math.max(0, tonumber(args[4]) - bare))
  count, began = 0, seconds()
end

function request()
  count = count + 1
  local body = template:format(account, word .. string.format("%08d", count), os.time(), count % 1000, padding)
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json",
    ["X-Hub-Signature-256"] = "sha256=" .. hmac(secret, body),
  }, body)
end

-- With a rate, each request has its place in a timetable; a late one does not push back those behind it.
local asked = 0
function delay()
  if rate == 0 then return 0 end
  asked = asked + 1
  return math.max(0, math.floor((began + asked / rate - seconds()) * 1000))
end

function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
