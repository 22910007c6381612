"""Libraries behind an OpenAI-compatible API: `tscli serve`.

app            the routes, and what stands before them all
openai_api     OpenAI's routes: openai_request reads what is asked, asking waits for the answer, chat_reply and
               responses_reply say it, answer_fields where it came from
engine_thread  the one thread that runs models: answers of all clients in step, a bounded queue
served_libraries          the libraries that are served, opened when they are first asked
connection     connections that nobody uses are closed
safety         who may ask: Host, Origin, token, sizes
metrics        what is counted
page_routes    the page's files (page/), and with places what its citations lead to
documents      a library's documents: the file as it was ingested, its text by its own tokens
uploads        files that are taken, and with ingest_job and ingest_child their ingest in a process of its own
"""
