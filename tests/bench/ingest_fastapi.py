"""The peer of tests/bench/ingest in FastAPI: checks the signature, answers 200, keeps nothing.

    python3 ingest_fastapi.py PORT SECRET
"""
import hashlib
import hmac
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

PORT, SECRET = int(sys.argv[1]), sys.argv[2].encode()
app = FastAPI()


@app.post("/webhooks/whatsapp")
async def webhook(request: Request):
    want = "sha256=" + hmac.new(SECRET, await request.body(), hashlib.sha256).hexdigest()
    right = hmac.compare_digest(want, request.headers.get("x-hub-signature-256", ""))
    return Response(status_code=200 if right else 401)


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", access_log=False)
