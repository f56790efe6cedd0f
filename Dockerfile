# One image for every service; which one runs is the command's to say.
# Both locks hold hashes, so what is installed is what was tested.

FROM python:3.13.7-slim-bookworm AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY deploy/build.lock deploy/requirements.lock ./deploy/
RUN python -m venv /opt/tellonce \
    && /opt/tellonce/bin/pip install --require-hashes --only-binary :all: -r deploy/requirements.lock \
    && pip install --require-hashes --only-binary :all: -r deploy/build.lock
# Sources come last: a change of them keeps the layers above.
COPY pyproject.toml README.md LICENSE topology.yaml ./
COPY schemas ./schemas
COPY producers ./producers
COPY consumers ./consumers
COPY deploy/kafka/pom.xml ./deploy/kafka/pom.xml
COPY src ./src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/tellonce/bin/pip install --no-deps --no-index dist/*.whl

FROM python:3.13.7-slim-bookworm
RUN groupadd --gid 10001 tellonce && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tellonce
COPY --from=build /opt/tellonce /opt/tellonce
ENV PATH=/opt/tellonce/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /etc/tellonce
USER 10001:10001
ENTRYPOINT ["tellonce"]
CMD ["--help"]
