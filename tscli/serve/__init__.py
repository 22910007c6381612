"""Libraries behind an OpenAI-compatible API: `tscli serve`.

app            the routes, and what stands before them all
openai_api     requests and answers in OpenAI's form
engine_thread  the one thread that runs models: answers of all clients in step, a bounded queue
shelf          the libraries that are served, opened when they are first asked
safety         who may ask: Host, Origin, token, sizes
metrics        what is counted
"""
